//! What leaves, and in how many writes.

use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::task::Waker;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

const HEADER: &[u8] = b"POST / HTTP/1.1\r\nAuthorization: Bearer sk-secret\r\n\r\n";

/// What a connection was given, write by write, and how much of each next one it takes: all where it was not told, nothing
/// for now at zero.
#[derive(Debug, Default)]
struct Wire {
    writes: Vec<Vec<u8>>,
    takes: VecDeque<usize>,
}

/// A connection that remembers.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Wire>>);

impl Recorder {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    fn lengths(&self) -> Vec<usize> {
        self.wire().writes.iter().map(Vec::len).collect()
    }

    fn sent(&self) -> Vec<u8> {
        self.wire().writes.concat()
    }

    /// The connection, and what it is told beforehand.
    fn joined(&self) -> (Joined, Arc<Announced>) {
        let joined = Joined::new(Box::new(self.clone())).unwrap();
        let digest = Digest {
            proxy_digest: joined.get_proxy_digest(),
            ..Digest::default()
        };
        let announced = Announced::of(Some(&digest)).unwrap();
        (joined, announced)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        let takes = wire.takes.pop_front().unwrap_or(usize::MAX);
        if takes == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        bytes.truncate(takes);
        let count = bytes.len();
        wire.writes.push(bytes);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[async_trait]
impl Shutdown for Recorder {
    async fn shutdown(&mut self) {}
}

impl UniqueID for Recorder {
    fn id(&self) -> UniqueIDType {
        7
    }
}

impl Ssl for Recorder {}

impl Peek for Recorder {}

impl GetTimingDigest for Recorder {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Recorder {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Recorder {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

fn body(lengths: &[usize]) -> Vec<Bytes> {
    let piece = |(at, &length): (usize, &usize)| {
        let bytes: Vec<u8> = (0..length).map(|byte| (byte * 7 + at) as u8).collect();
        Bytes::from(bytes)
    };
    lengths.iter().enumerate().map(piece).collect()
}

/// Writes a request as Pingora does: the header and a flush, the pieces, at most `cut` bytes at a time, and a flush.
async fn request(joined: &mut Joined, pieces: &[Bytes], cut: usize) {
    joined.write_all(HEADER).await.unwrap();
    joined.flush().await.unwrap();
    for piece in pieces {
        for part in piece.chunks(cut) {
            joined.write_all(part).await.unwrap();
        }
    }
    joined.flush().await.unwrap();
}

fn with_header(pieces: &[Bytes]) -> Vec<u8> {
    [HEADER, &pieces.concat()].concat()
}

/// A connection that was told of a body of such pieces, and was given the header and its flush.
async fn begun(lengths: &[usize]) -> (Recorder, Joined, Arc<Announced>, Vec<Bytes>) {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    let pieces = body(lengths);
    announced.announce(&pieces);
    joined.write_all(HEADER).await.unwrap();
    joined.flush().await.unwrap();
    (recorder, joined, announced, pieces)
}

#[tokio::test]
async fn header_and_body_leave_in_one_write() {
    for lengths in [&[100][..], &[5_000], &[100_000, 49], &[1, 2, 3, 120_000]] {
        let recorder = Recorder::default();
        let (mut joined, announced) = recorder.joined();
        let pieces = body(lengths);
        for count in 1..4 {
            announced.announce(&pieces);
            request(&mut joined, &pieces, usize::MAX).await;
            assert_eq!(recorder.wire().writes.len(), count, "{lengths:?}");
            assert_eq!(recorder.wire().writes[count - 1], with_header(&pieces));
        }
    }
}

#[tokio::test]
async fn nothing_leaves_before_the_announced_body_is_there() {
    let (recorder, mut joined, announced, pieces) = begun(&[3_000, 10]).await;
    joined.write_all(&pieces[0]).await.unwrap();
    assert!(recorder.sent().is_empty());
    assert!(announced.waits());
    joined.write_all(&pieces[1]).await.unwrap();
    joined.flush().await.unwrap();
    assert_eq!(recorder.sent(), with_header(&pieces));
    assert!(!announced.waits());
}

#[tokio::test]
async fn a_second_flush_waits_for_nothing() {
    let (recorder, mut joined, announced, pieces) = begun(&[3_000, 10]).await;
    joined.write_all(&pieces[0]).await.unwrap();
    joined.flush().await.unwrap();
    assert_eq!(recorder.sent(), with_header(&pieces[..1]));
    assert!(!announced.waits());
    joined.write_all(&pieces[1]).await.unwrap();
    joined.flush().await.unwrap();
    assert_eq!(recorder.sent(), with_header(&pieces));
}

#[tokio::test]
async fn a_long_body_leaves_as_it_comes_and_its_end_in_one_write() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    let pieces = body(&[400_000, 49]);
    announced.announce(&pieces);
    request(&mut joined, &pieces, QUEUED_MAX).await;
    assert_eq!(recorder.sent(), with_header(&pieces));
    let end = 400_000 - 3 * QUEUED_MAX + 49;
    let first = HEADER.len() + QUEUED_MAX;
    assert_eq!(recorder.lengths(), [first, QUEUED_MAX, QUEUED_MAX, end]);
}

#[tokio::test]
async fn what_was_not_announced_leaves_at_once() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    joined.write_all(HEADER).await.unwrap();
    assert_eq!(recorder.sent(), HEADER);
    // Nor does one announcement hold for two requests.
    let pieces = body(&[10]);
    announced.announce(&pieces);
    request(&mut joined, &pieces, usize::MAX).await;
    joined.write_all(HEADER).await.unwrap();
    assert_eq!(
        recorder.lengths(),
        [HEADER.len(), HEADER.len() + 10, HEADER.len()]
    );
    // An announcement of nothing takes the last one back.
    announced.announce(&pieces);
    announced.announce(&[]);
    joined.write_all(HEADER).await.unwrap();
    assert_eq!(recorder.lengths().len(), 4);
}

#[tokio::test]
async fn other_bytes_than_the_announced_ones_wait_for_nothing() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    announced.announce(&body(&[10_000]));
    joined.write_all(HEADER).await.unwrap();
    joined.write_all(b"something else").await.unwrap();
    assert_eq!(recorder.sent(), [HEADER, b"something else"].concat());
}

#[tokio::test]
async fn a_chunk_leaves_with_the_header_before_it() {
    let (recorder, mut joined, _, pieces) = begun(&[10_000]).await;
    let mut chunk = Bytes::from("2710\r\n")
        .chain(&pieces[0][..])
        .chain(&b"\r\n"[..]);
    joined.write_all_buf(&mut chunk).await.unwrap();
    joined.flush().await.unwrap();
    let expected = [HEADER, b"2710\r\n", &pieces[0], b"\r\n"].concat();
    assert_eq!(recorder.wire().writes, [expected]);
}

#[test]
fn a_connection_that_takes_nothing_is_waited_for() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    let pieces = body(&[300_000]);
    announced.announce(&pieces);
    let mut context = Context::from_waker(Waker::noop());
    let header = Pin::new(&mut joined).poll_write(&mut context, HEADER);
    assert!(matches!(header, Poll::Ready(Ok(count)) if count == HEADER.len()));
    recorder.wire().takes = [0, 20, 100, 0].into();
    let first = &pieces[0][..QUEUED_MAX];
    // Nothing of the piece is taken before the header is through.
    assert!(
        Pin::new(&mut joined)
            .poll_write(&mut context, first)
            .is_pending()
    );
    let written = Pin::new(&mut joined).poll_write(&mut context, first);
    let taken = 120 - HEADER.len();
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == taken));
    let rest = &first[taken..];
    assert!(
        Pin::new(&mut joined)
            .poll_write(&mut context, rest)
            .is_pending()
    );
    let written = Pin::new(&mut joined).poll_write(&mut context, rest);
    assert!(matches!(written, Poll::Ready(Ok(count)) if count == rest.len()));
    assert_eq!(recorder.sent(), [HEADER, first].concat());
}

#[tokio::test]
async fn a_connection_that_is_given_up_sends_nothing_more() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    let pieces = body(&[10]);
    announced.announce(&pieces);
    joined.write_all(HEADER).await.unwrap();
    joined.write_all(&pieces[0]).await.unwrap();
    drop(joined);
    assert!(recorder.sent().is_empty());
}

#[test]
fn what_waits_is_not_printed() {
    let recorder = Recorder::default();
    let (mut joined, announced) = recorder.joined();
    announced.announce(&body(&[10]));
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        Pin::new(&mut joined)
            .poll_write(&mut context, HEADER)
            .is_ready()
    );
    let printed = format!("{joined:?}");
    assert!(printed.starts_with("Joined"));
    assert!(!printed.contains("secret"), "{printed}");
}

proptest! {
    /// Whatever the pieces, the cuts, and what the connection takes: the bytes, in their order, each once.
    #[test]
    fn bytes_arrive_as_they_were_written(
        requests in proptest::collection::vec(
            (proptest::collection::vec(0_usize..150_000, 0..5), 1_usize..200_000, any::<bool>()),
            1..4,
        ),
        takes in proptest::collection::vec(prop_oneof![Just(0), 1_usize..50, 1_usize..200_000], 0..60),
    ) {
        let recorder = Recorder::default();
        let (mut joined, announced) = recorder.joined();
        recorder.wire().takes = takes.into();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut expected = Vec::new();
        for (lengths, cut, told) in requests {
            let pieces = body(&lengths);
            announced.announce(if told { &pieces[..] } else { &[] });
            runtime.block_on(request(&mut joined, &pieces, cut));
            expected.extend(with_header(&pieces));
            prop_assert!(recorder.sent() == expected);
        }
    }
}
