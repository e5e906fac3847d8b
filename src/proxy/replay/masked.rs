//! E5: the credential is written over in the body of an answer, before its tasks are kept or go to the client.

use pingora::protocols::http::HttpTask;

use super::shared::{Shared, State};
use crate::proxy::masked::{Mask, Masker, no_longer_coded};

impl Shared {
    /// From here on the body of this attempt's answer is looked at.
    pub fn mask(&self, mask: Mask) {
        self.lock().mask = Some(Box::new(mask));
    }

    /// The tasks without the credential; fewer, where it has to come first what they are.
    pub(super) fn masked(&self, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
        let mut state = self.lock();
        let Some(mut mask) = state.mask.take() else {
            return tasks;
        };
        match &mut *mask {
            Mask::Passing(masker) => {
                let tasks = passed(masker, tasks);
                state.mask = Some(mask);
                tasks
            }
            Mask::Gathering(gathered) => match gathered.take(tasks) {
                Some(told) => {
                    if told.is_text {
                        state.is_text(&told.tasks);
                    }
                    told.tasks
                }
                None => {
                    state.mask = Some(mask);
                    Vec::new()
                }
            },
        }
    }
}

impl State {
    /// The header of an answer that is kept was kept before its body was looked at.
    fn is_text(&mut self, tasks: &[HttpTask]) {
        if let Some(kept) = self.withheld.as_mut() {
            let length = tasks.iter().map(|task| match task {
                HttpTask::Body(Some(data), _) => data.len(),
                _ => 0,
            });
            no_longer_coded(&mut kept.header, length.sum());
        }
    }
}

fn passed(masker: &mut Masker, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
    let mut passed = Vec::with_capacity(tasks.len() + 1);
    for task in tasks {
        match task {
            HttpTask::Body(data, end) => {
                let mut data = masker.take(&data.unwrap_or_default());
                if end {
                    let rest = masker.finish();
                    if !rest.is_empty() && !data.is_empty() {
                        passed.push(HttpTask::Body(Some(data), false));
                        data = rest;
                    } else if data.is_empty() {
                        data = rest;
                    }
                }
                if end || !data.is_empty() {
                    passed.push(HttpTask::Body(Some(data), end));
                }
            }
            HttpTask::Trailer(_) | HttpTask::Done | HttpTask::Failed(_) => {
                let rest = masker.finish();
                if !rest.is_empty() {
                    passed.push(HttpTask::Body(Some(rest), false));
                }
                passed.push(task);
            }
            HttpTask::Header(..) | HttpTask::UpgradedBody(..) => passed.push(task),
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::credentials::Key;

    fn piece(text: &str, end: bool) -> HttpTask {
        HttpTask::Body(Some(Bytes::copy_from_slice(text.as_bytes())), end)
    }

    fn failed() -> HttpTask {
        HttpTask::Failed(pingora::Error::new(pingora::ErrorType::ReadError))
    }

    #[test]
    fn however_an_answer_ends_all_of_it_goes_on_and_the_key_does_not() {
        let key = Arc::new(Key::new("sk-canary-1234", Arc::default()).expect("a key"));
        let ends: [fn() -> HttpTask; 5] = [
            || HttpTask::Done,
            || HttpTask::Trailer(None),
            || HttpTask::Body(None, true),
            || piece("", true),
            failed,
        ];
        for end in ends {
            let mut masker = Masker::new(&key).expect("long enough");
            let mut text = Vec::new();
            let tasks = [
                piece("a sk-can", false),
                piece("ary-1234 b s", false),
                end(),
            ];
            let mut last = None;
            for task in tasks {
                for task in passed(&mut masker, vec![task]) {
                    if let HttpTask::Body(Some(data), _) = &task {
                        text.extend_from_slice(data);
                    }
                    last = Some(task.is_end());
                }
            }
            assert_eq!(text, b"a ************** b s");
            assert_eq!(last, Some(true));
        }
    }

    #[test]
    fn of_one_that_breaks_off_in_the_middle_of_the_key_nothing_of_it_goes_on() {
        let key = Arc::new(Key::new("sk-canary-1234", Arc::default()).expect("a key"));
        let mut masker = Masker::new(&key).expect("long enough");
        let mut tasks = passed(&mut masker, vec![piece("a sk-canary-1", false)]);
        tasks.extend(passed(&mut masker, vec![failed()]));
        let text = tasks.iter().filter_map(|task| match task {
            HttpTask::Body(data, _) => data.as_deref(),
            _ => None,
        });
        assert_eq!(text.collect::<Vec<_>>().concat(), b"a ***********");
    }
}
