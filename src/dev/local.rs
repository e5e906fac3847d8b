//! Finds model servers on this machine: Ollama, vLLM and LM Studio, each at its usual port or where it was said to be.
//! A server counts as found only if it answers as that product does; a port that something else holds is passed over.
//! Nothing but loopback addresses is ever asked, no name is resolved, no credential is sent, and no model is loaded.

#![allow(
    clippy::disallowed_methods,
    reason = "the documents that servers on this machine describe themselves with"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Uri};
use pingora::protocols::l4::stream::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::discover::{fetch, list};

/// Time for all of it. A local server answers in a few milliseconds; a start of ours must not wait for one that hangs.
const TIME_MAX: Duration = Duration::from_millis(400);

/// Largest answer read, in bytes: a list of some thousand models.
const ANSWER_MAX: usize = 1024 * 1024;

/// A server that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The provider's id: `ollama`, `vllm` or `lmstudio`.
    pub provider: &'static str,
    /// Base URL of its OpenAI API, `/v1` included, at the address that answered: `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// The models it lists, in its order. Ollama may have none; the others are told apart by their models.
    pub models: Vec<String>,
}

/// Looks for all three at once, for at most 400 ms, and lists what was found in the order Ollama, vLLM, LM Studio.
///
/// `addresses` holds, by provider id, where a server was said to be: a base URL with or without `/v1`, or
/// `host[:port]` as in `OLLAMA_HOST`. The first entry of a provider replaces its usual address. One that is not `http`,
/// not loopback, or cannot be read is not asked, and that provider is not found: whoever set it knows where it is.
pub async fn find(addresses: &[(&str, &str)]) -> Vec<Found> {
    find_within(TIME_MAX, addresses).await
}

async fn find_within(time: Duration, addresses: &[(&str, &str)]) -> Vec<Found> {
    let [ollama, vllm, lmstudio] = KINDS.map(|kind| {
        let said = addresses
            .iter()
            .find(|(provider, _)| *provider == kind.provider);
        bounded(time, kind, said.map(|(_, address)| *address))
    });
    let (ollama, vllm, lmstudio) = tokio::join!(ollama, vllm, lmstudio);
    [ollama, vllm, lmstudio].into_iter().flatten().collect()
}

async fn bounded(time: Duration, kind: Kind, said: Option<&str>) -> Option<Found> {
    let place = Place::read(said.unwrap_or("127.0.0.1"), kind.port)?;
    tokio::time::timeout(time, kind.at(&place)).await.ok()?
}

/// A product that can be found.
#[derive(Clone, Copy)]
struct Kind {
    provider: &'static str,
    port: u16,
    product: Product,
}

#[derive(Clone, Copy)]
enum Product {
    Ollama,
    Vllm,
    LmStudio,
}

const KINDS: [Kind; 3] = [
    Kind {
        provider: "ollama",
        port: 11_434,
        product: Product::Ollama,
    },
    Kind {
        provider: "vllm",
        port: 8_000,
        product: Product::Vllm,
    },
    Kind {
        provider: "lmstudio",
        port: 1_234,
        product: Product::LmStudio,
    },
];

impl Kind {
    async fn at(self, place: &Place) -> Option<Found> {
        for ip in &place.ips {
            let server = Server {
                address: SocketAddr::new(*ip, place.port),
                prefix: &place.prefix,
            };
            let models = match self.product {
                Product::Ollama => server.ollama().await,
                Product::Vllm => server.vllm().await,
                Product::LmStudio => server.lmstudio().await,
            };
            if let Some(models) = models {
                return Some(Found {
                    provider: self.provider,
                    base_url: server.base_url(),
                    models,
                });
            }
        }
        None
    }
}

/// A loopback place to ask: the addresses its host stands for, the port, and what stands before `/v1`.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    ips: Vec<IpAddr>,
    port: u16,
    prefix: String,
}

impl Place {
    /// Reads a base URL, or `host[:port]`, which takes the product's own port when it names none.
    fn read(address: &str, usual_port: u16) -> Option<Self> {
        let address = address.trim();
        let (url, port_unsaid) = match address.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => (address.to_owned(), 80),
            Some(_) => return None,
            // `OLLAMA_HOST=:8080` names a port alone.
            None if address.starts_with(':') => (format!("http://127.0.0.1{address}"), usual_port),
            None => (format!("http://{address}"), usual_port),
        };
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        if uri.query().is_some() {
            return None;
        }
        // What is left beside the host is the port; user names and ports out of range fail here.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => port_unsaid,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let path = uri.path().trim_end_matches('/');
        let prefix = path
            .strip_suffix("/v1")
            .unwrap_or(path)
            .trim_end_matches('/')
            .to_owned();
        Some(Self {
            ips: loopback(authority.host())?,
            port,
            prefix,
        })
    }
}

/// The loopback addresses that a host stands for. "All interfaces" is what a server listens on: it is asked on loopback.
fn loopback(host: &str) -> Option<Vec<IpAddr>> {
    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if host.eq_ignore_ascii_case("localhost") {
        return Some(vec![V4, V6]);
    }
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?
    {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(vec![V4]),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(vec![V6, V4]),
        ip if ip.is_loopback() => Some(vec![ip]),
        _ => None,
    }
}

struct Server<'a> {
    address: SocketAddr,
    prefix: &'a str,
}

/// A list of entries under `data`, as the OpenAI API has it.
#[derive(Deserialize)]
struct Data<T> {
    data: Vec<T>,
}

/// A list of entries under `models`.
#[derive(Deserialize)]
struct Models<T> {
    models: Vec<T>,
}

impl Server<'_> {
    fn base_url(&self) -> String {
        format!("http://{}{}/v1", self.address, self.prefix)
    }

    /// Ollama has a version and a list of tags under `/api`, each tag with the digest of its manifest.
    async fn ollama(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "version")]
            _version: String,
        }
        #[derive(Deserialize)]
        struct Tag {
            #[serde(rename = "digest")]
            _digest: String,
        }
        let _: Version = read(&self.get("/api/version").await?)?;
        let tags = self.get("/api/tags").await?;
        let _: Models<Tag> = read(&tags)?;
        listed(&tags)
    }

    /// vLLM signs each of its models. One that asks for a key is not found: it could not be used without that key.
    async fn vllm(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Model {
            owned_by: String,
        }
        let list = self.get("/v1/models").await?;
        let models: Data<Model> = read(&list)?;
        let all_its_own = models.data.iter().all(|model| model.owned_by == "vllm");
        let listed = listed(&list).filter(|listed| !listed.is_empty());
        listed.filter(|_| all_its_own)
    }

    /// LM Studio has a native list beside the OpenAI one, of two versions. An unknown path answers 200 there, with an
    /// error, so it is the entries that tell.
    async fn lmstudio(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct V0 {
            #[serde(rename = "state")]
            _state: String,
            #[serde(rename = "compatibility_type")]
            _compatibility: String,
        }
        #[derive(Deserialize)]
        struct V1 {
            #[serde(rename = "key")]
            _key: String,
            #[serde(rename = "publisher")]
            _publisher: String,
        }
        let v0 = self.get("/api/v0/models").await;
        let natives = match v0.and_then(|list| read::<Data<V0>>(&list)) {
            Some(list) => list.data.len(),
            None => {
                let v1 = self.get("/api/v1/models").await?;
                read::<Models<V1>>(&v1)?.models.len()
            }
        };
        let listed = listed(&self.get("/v1/models").await?)?;
        (natives > 0 && !listed.is_empty()).then_some(listed)
    }

    /// The document at `path`: `None` for any other status than 200.
    async fn get(&self, path: &str) -> Option<Vec<u8>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let target = format!("{}{path}", self.prefix);
        let host = HeaderValue::from_str(&self.address.to_string()).ok()?;
        let request = fetch::request(&target, host).ok()?;
        let stream = Box::new(Stream::from(stream));
        fetch::get(stream, request, ANSWER_MAX).await.ok()
    }
}

/// What tells a product: `None` where a document is not of that shape.
fn read<T: DeserializeOwned>(document: &[u8]) -> Option<T> {
    serde_json::from_slice(document).ok()
}

/// The ids in a list of models.
fn listed(document: &[u8]) -> Option<Vec<String>> {
    let models = list::read(document).ok()?.into_iter();
    Some(models.map(|model| model.id.into_string()).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const OLLAMA: &[(&str, &str)] = &[
        ("/api/version", r#"{"version":"0.33.0"}"#),
        (
            "/api/tags",
            r#"{"models":[{"name":"llama3.2:1b","model":"llama3.2:1b","digest":"ab","size":1}]}"#,
        ),
        (
            "/v1/models",
            r#"{"object":"list","data":[{"id":"llama3.2:1b","object":"model","owned_by":"library"}]}"#,
        ),
    ];
    const VLLM: &[(&str, &str)] = &[
        ("/version", r#"{"version":"0.20.0"}"#),
        (
            "/v1/models",
            r#"{"object":"list","data":[{"id":"org/model","object":"model","owned_by":"vllm"}]}"#,
        ),
    ];
    const LMSTUDIO: &[(&str, &str)] = &[
        (
            "/api/v0/models",
            r#"{"object":"list","data":[{"id":"q","state":"loaded","compatibility_type":"gguf"}]}"#,
        ),
        (
            "/v1/models",
            r#"{"object":"list","data":[{"id":"q","object":"model","owned_by":"organization_owner"}]}"#,
        ),
    ];
    const LMSTUDIO_1: &[(&str, &str)] = &[
        (
            "/api/v0/models",
            r#"{"error":"Unexpected endpoint or method. (GET /api/v0/models)"}"#,
        ),
        (
            "/api/v1/models",
            r#"{"models":[{"type":"llm","publisher":"qwen","key":"q"}]}"#,
        ),
        (
            "/v1/models",
            r#"{"object":"list","data":[{"id":"q","object":"model","owned_by":"organization_owner"}]}"#,
        ),
    ];
    /// Answers every path with a list, as a server of some other make might.
    const OTHER: &[(&str, &str)] = &[
        ("/api/version", r#"{"version":1}"#),
        ("/api/tags", r#"{"tags":[]}"#),
        ("/api/v0/models", r#"{"object":"list","data":[]}"#),
        (
            "/v1/models",
            r#"{"object":"list","data":[{"id":"gpt","object":"model","owned_by":"openai"}]}"#,
        ),
    ];

    /// A server that has these documents, and answers 404 to all else.
    async fn server(documents: &'static [(&'static str, &'static str)]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                let found = documents.iter().find(|(known, _)| *known == path);
                let (status, body) =
                    found.map_or(("404 Not Found", "{}"), |(_, body)| ("200 OK", *body));
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    /// Far more than a busy machine needs: where this bound is met, a test fails.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// All three kinds looked for at one address.
    async fn find_all_at(address: &str) -> Vec<Found> {
        let addresses = KINDS.map(|kind| (kind.provider, address));
        tokio::time::timeout(PATIENCE, find_within(PATIENCE * 2, &addresses))
            .await
            .expect("an end of its own")
    }

    #[tokio::test]
    async fn each_product_is_found_and_taken_for_no_other() {
        let cases = [
            ("ollama", OLLAMA, "llama3.2:1b"),
            ("vllm", VLLM, "org/model"),
            ("lmstudio", LMSTUDIO, "q"),
            ("lmstudio", LMSTUDIO_1, "q"),
        ];
        for (provider, documents, model) in cases {
            let address = server(documents).await;
            let expected = Found {
                provider,
                base_url: format!("http://{address}/v1"),
                models: vec![model.to_owned()],
            };
            assert_eq!(find_all_at(&address).await, [expected]);
        }
    }

    #[tokio::test]
    async fn all_are_found_at_once_in_a_fixed_order() {
        let [ollama, vllm, lmstudio] = [
            server(OLLAMA).await,
            server(VLLM).await,
            server(LMSTUDIO).await,
        ];
        let with_v1 = format!("http://{vllm}/v1/");
        let addresses = [
            ("lmstudio", &*lmstudio),
            ("vllm", &*with_v1),
            ("ollama", &*ollama),
        ];
        let found = find_within(PATIENCE, &addresses).await;
        let providers: Vec<&str> = found.iter().map(|found| found.provider).collect();
        assert_eq!(providers, ["ollama", "vllm", "lmstudio"]);
        assert_eq!(found[1].base_url, format!("http://{vllm}/v1"));
    }

    #[tokio::test]
    async fn other_servers_and_closed_ports_are_passed_over() {
        assert_eq!(find_all_at(&server(OTHER).await).await, []);
        assert_eq!(find_all_at(&server(&[]).await).await, []);
        let closed = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        assert_eq!(find_all_at(&closed).await, []);
    }

    #[tokio::test]
    async fn garbage_and_endless_answers_are_passed_over() {
        let floods: [&[u8]; 3] = [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ];
        for head in floods {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let _ = stream.write_all(head).await;
                        while stream
                            .write_all("[".repeat(65_536).as_bytes())
                            .await
                            .is_ok()
                        {}
                    });
                }
            });
            assert_eq!(find_all_at(&address).await, []);
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_waited_for_no_longer_than_the_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let addresses = KINDS.map(|kind| (kind.provider, &*address));
        let began = Instant::now();
        let found = tokio::time::timeout(PATIENCE, find(&addresses)).await;
        assert_eq!(found.expect("the bound"), []);
        assert!(began.elapsed() >= TIME_MAX);
    }

    #[tokio::test]
    async fn a_prefix_before_v1_is_kept() {
        const BEHIND: &[(&str, &str)] = &[
            ("/ollama/api/version", r#"{"version":"0.33.0"}"#),
            ("/ollama/api/tags", r#"{"models":[]}"#),
        ];
        let address = server(BEHIND).await;
        let said = format!("http://{address}/ollama/v1");
        let addresses = [("ollama", &*said), ("vllm", "-"), ("lmstudio", "-")];
        let found = find_within(PATIENCE, &addresses).await;
        assert_eq!(
            found,
            [Found {
                provider: "ollama",
                base_url: said,
                models: Vec::new()
            }]
        );
    }

    #[test]
    fn addresses_are_read_as_urls_or_as_host_and_port() {
        let v4: IpAddr = Ipv4Addr::LOCALHOST.into();
        let v6: IpAddr = Ipv6Addr::LOCALHOST.into();
        let cases = [
            ("127.0.0.1", vec![v4], 7, ""),
            ("127.0.0.1:8", vec![v4], 8, ""),
            (":8", vec![v4], 8, ""),
            ("0.0.0.0:8", vec![v4], 8, ""),
            ("[::1]:8", vec![v6], 8, ""),
            ("[::]", vec![v6, v4], 7, ""),
            ("localhost", vec![v4, v6], 7, ""),
            ("http://localhost:8/v1", vec![v4, v6], 8, ""),
            ("HTTP://127.0.0.1/v1/", vec![v4], 80, ""),
            ("http://127.0.0.1:8/a/v1", vec![v4], 8, "/a"),
        ];
        for (address, ips, port, prefix) in cases {
            let place = Place {
                ips,
                port,
                prefix: prefix.to_owned(),
            };
            assert_eq!(Place::read(address, 7), Some(place), "{address}");
        }
    }

    #[test]
    fn what_is_not_plain_loopback_is_never_asked() {
        let refused = [
            "https://127.0.0.1:8",
            "http://10.0.0.1:11434",
            "gpu.example:11434",
            "http://localhost.example",
            "http://user:pass@127.0.0.1",
            "http://127.0.0.1/v1?key=x",
            "http://169.254.169.254",
            "127.0.0.1:99999",
            "127.0.0.1:80@127.0.0.1",
            "http://127.0.0.1@10.0.0.1",
            "",
            "-",
            "unix:///run/x",
        ];
        for address in refused {
            assert_eq!(Place::read(address, 7), None, "{address}");
        }
    }
}
