//! E4: the extra event with the usage is taken out of the answer's tasks, where the client did not ask for it.

use bytes::Bytes;
use pingora::protocols::http::HttpTask;

use super::shared::Shared;
use crate::usage::Extra;

impl Shared {
    /// From here on the extra usage event is taken out of this attempt's answer.
    pub fn take_usage_out(&self) {
        self.lock().extra = Some(Box::default());
    }

    /// Bytes of the answer at hand that did not go to the client.
    pub fn kept_back(&self) -> u64 {
        let taken_out = self.lock().extra.as_ref().map_or(0, |extra| extra.taken());
        taken_out + self.unsent()
    }

    /// The tasks without the event.
    pub(super) fn without_usage(&self, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
        let mut state = self.lock();
        match state.extra.as_deref_mut() {
            Some(extra) => without(extra, tasks),
            None => tasks,
        }
    }
}

fn without(extra: &mut Extra, tasks: Vec<HttpTask>) -> Vec<HttpTask> {
    let mut left = Vec::with_capacity(tasks.len() + 1);
    let body = |piece: Bytes| HttpTask::Body(Some(piece), false);
    for task in tasks {
        match task {
            HttpTask::Body(data, end) => {
                let passed = data.map(|data| extra.pass(data)).unwrap_or_default();
                left.extend(passed.into_iter().map(body));
                if end {
                    left.extend(extra.finish().map(body));
                    left.push(HttpTask::Body(None, true));
                }
            }
            HttpTask::Trailer(_) | HttpTask::Done => {
                left.extend(extra.finish().map(body));
                left.push(task);
            }
            // What is held of an event that was cut off is nothing to any client, and would run into what is said next.
            HttpTask::Failed(_) | HttpTask::Header(..) | HttpTask::UpgradedBody(..) => {
                left.push(task);
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: &str = "data: {\"choices\":[],\"usage\":{}}\n\n";

    fn piece(text: &str, end: bool) -> HttpTask {
        HttpTask::Body(Some(Bytes::copy_from_slice(text.as_bytes())), end)
    }

    /// What goes on: the text, and whether the last task is an end.
    fn left(tasks: Vec<HttpTask>) -> (String, bool) {
        let left = without(&mut Extra::default(), tasks);
        let text = left.iter().filter_map(|task| match task {
            HttpTask::Body(data, _) => data.as_deref(),
            _ => None,
        });
        let text = text.collect::<Vec<_>>().concat();
        let ends = left.last().is_some_and(HttpTask::is_end);
        (String::from_utf8(text).expect("text"), ends)
    }

    #[test]
    fn however_an_answer_ends_all_but_the_event_goes_on() {
        let ends: [fn() -> Vec<HttpTask>; 4] = [
            || vec![HttpTask::Done],
            || vec![HttpTask::Trailer(None)],
            || vec![HttpTask::Body(None, true)],
            || vec![piece("", true)],
        ];
        for end in ends {
            let mut tasks = vec![piece("data: 1\n\n", false), piece(USED, false)];
            tasks.push(piece("data: 2", false));
            tasks.extend(end());
            assert_eq!(left(tasks), ("data: 1\n\ndata: 2".to_owned(), true));
        }
        let whole = vec![piece(&format!("data: 1\n\n{USED}"), true)];
        assert_eq!(left(whole), ("data: 1\n\n".to_owned(), true));
        assert_eq!(left(vec![piece(USED, false)]), (String::new(), false));
    }
}
