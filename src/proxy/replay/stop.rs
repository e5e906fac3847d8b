//! An answer that goes no further, although its upstream has more: it has cost as much as the request may.

use pingora::protocols::http::HttpTask;

use super::shared::Shared;

impl Shared {
    /// The answer ends with what has passed the filters by now, and not as if it were whole.
    pub fn stop(&self) {
        self.lock().stop = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stop
    }
}

/// The tasks without an end: who gets them is to be told why there is no more.
pub(super) fn unended(tasks: Vec<HttpTask>) -> Vec<HttpTask> {
    let unended = |task| match task {
        HttpTask::Header(header, _) => Some(HttpTask::Header(header, false)),
        HttpTask::Body(data, _) => {
            let data = data.filter(|data| !data.is_empty())?;
            Some(HttpTask::Body(Some(data), false))
        }
        HttpTask::UpgradedBody(..)
        | HttpTask::Trailer(_)
        | HttpTask::Done
        | HttpTask::Failed(_) => None,
    };
    tasks.into_iter().filter_map(unended).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_was_said_stays_and_every_kind_of_end_is_taken_off() {
        let text = Some(Bytes::from_static(b"data: 1\n\n"));
        let ends = [
            HttpTask::Body(Some(Bytes::new()), true),
            HttpTask::Body(None, true),
            HttpTask::Trailer(None),
            HttpTask::Done,
        ];
        for end in ends {
            let left = unended(vec![HttpTask::Body(text.clone(), true), end]);
            assert!(
                matches!(&left[..], [HttpTask::Body(data, false)] if *data == text),
                "{left:?}"
            );
        }
    }
}
