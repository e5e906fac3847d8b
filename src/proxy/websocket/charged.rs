//! What a conversation needs to be paid for, apart from sockets and prices: one hold for each response that is under way or
//! asked for, and at least one for that which may begin by itself, when somebody has spoken.

use std::future::Future;

use crate::proxy::reject::Code;

/// Responses of one conversation at one time that are paid for. A provider makes one of the conversation itself at a time,
/// and others beside it.
pub const AT_ONCE: u32 = 64;

/// Why a conversation is ended by the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The code: what the event says, and the reason of the close frame.
    pub code: Code,
    /// The same in words that are JSON as they stand.
    pub words: &'static str,
}

impl Stop {
    /// What came is not read.
    pub const UNREADABLE: Self = Self {
        code: Code::InvalidRequest,
        words: "The frames could not be read, and on the gateway's key nothing goes on that is not.",
    };

    /// What is to be charged cannot be written down.
    pub const STORE: Self = Self {
        code: Code::StoreUnavailable,
        words: "The gateway cannot write down what responses cost. Try again shortly.",
    };
}

/// Who pays.
pub trait Purse {
    /// Holds for one more response.
    ///
    /// # Errors
    /// Why that cannot be.
    fn take(&mut self) -> impl Future<Output = Result<(), Stop>> + Send;
}

/// Responses, and holds for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Responses that the server has begun.
    begun: u32,
    /// Those that the client has asked for, and the server has not begun.
    asked: u32,
    /// Those of them that may have failed: the server has said that something has, and not what.
    doubtful: u32,
    /// Holds that are open.
    holds: u32,
}

impl Charged {
    /// A conversation that has just been opened, with one hold.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            begun: 0,
            asked: 0,
            doubtful: 0,
            holds: 1,
        }
    }

    /// Responses that the server has begun.
    #[must_use]
    pub const fn begun(&self) -> u32 {
        self.begun
    }

    /// Responses that the provider may be making.
    #[must_use]
    pub const fn under_way(&self) -> u32 {
        self.begun.saturating_add(self.asked)
    }

    /// The client asks for a response. To be told before that goes on.
    ///
    /// # Errors
    /// It cannot be paid for, and must not go on.
    pub async fn ask(&mut self, purse: &mut impl Purse) -> Result<(), Stop> {
        // What has not gone on was not asked for, also where nobody waits any more for what pays for it.
        self.cover(1, purse).await?;
        self.asked = self.asked.saturating_add(1);
        Ok(())
    }

    /// So many responses that the client has asked for were not passed on. What is held for them stays.
    pub fn unask(&mut self, count: u32) {
        self.asked = self.asked.saturating_sub(count);
    }

    /// The server has begun a response.
    ///
    /// # Errors
    /// It cannot be paid for.
    pub async fn created(&mut self, purse: &mut impl Purse) -> Result<(), Stop> {
        let of = if self.asked > 0 {
            &mut self.asked
        } else {
            &mut self.doubtful
        };
        *of = of.saturating_sub(1);
        self.begun = self.begun.saturating_add(1);
        self.cover(0, purse).await
    }

    /// The server has not done something that the client asked for, which may have been a response. Its hold is kept until
    /// nothing is under way any more: one that has not begun by then never will.
    pub fn failed(&mut self) {
        if self.asked > 0 {
            self.asked -= 1;
            self.doubtful = self.doubtful.saturating_add(1);
        }
    }

    /// A response is done; its hold is settled by whoever tells.
    ///
    /// # Errors
    /// The next one could not be paid for.
    pub async fn done(&mut self, purse: &mut impl Purse) -> Result<(), Stop> {
        // One that began before anything was read of it was asked for, or came by itself.
        if self.begun == 0 {
            self.asked = self.asked.saturating_sub(1);
        }
        self.begun = self.begun.saturating_sub(1);
        self.holds = self.holds.saturating_sub(1);
        if self.begun == 0 {
            self.doubtful = 0;
        }
        self.cover(0, purse).await
    }

    /// Sees to it that what is under way is held for, and so many more.
    async fn cover(&mut self, more: u32, purse: &mut impl Purse) -> Result<(), Stop> {
        let expected = self.under_way().saturating_add(self.doubtful);
        let needed = expected.saturating_add(more).max(1);
        if needed > AT_ONCE {
            return Err(Stop {
                code: Code::RateLimited,
                words: "There are more responses at once than one conversation may have. Wait for some of them.",
            });
        }
        while self.holds < needed {
            purse.take().await?;
            self.holds += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOR: Stop = Stop {
        code: Code::InsufficientCredit,
        words: "",
    };

    /// So many holds can be paid.
    struct Left(u32);

    impl Purse for Left {
        async fn take(&mut self) -> Result<(), Stop> {
            self.0 = self.0.checked_sub(1).ok_or(POOR)?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_next_hold_is_taken_when_the_last_is_settled() {
        let (mut purse, mut talk) = (Left(1), Charged::new());
        assert_eq!(talk.created(&mut purse).await, Ok(()));
        assert_eq!((purse.0, talk.under_way()), (1, 1));
        assert_eq!(talk.done(&mut purse).await, Ok(()));
        assert_eq!((purse.0, talk.under_way()), (0, 0));
        assert_eq!(talk.created(&mut purse).await, Ok(()));
        assert_eq!(talk.done(&mut purse).await, Err(POOR));
    }

    #[tokio::test]
    async fn each_response_at_one_time_has_a_hold_of_its_own() {
        let (mut purse, mut talk) = (Left(1), Charged::new());
        for _ in 0..2 {
            assert_eq!(talk.ask(&mut purse).await, Ok(()));
        }
        assert_eq!(talk.ask(&mut purse).await, Err(POOR), "it does not go on");
        assert_eq!(talk.under_way(), 2, "and was not asked for");
        for _ in 0..2 {
            assert_eq!(talk.created(&mut purse).await, Ok(()), "both were held for");
        }
        assert_eq!(talk.created(&mut purse).await, Err(POOR), "one by itself");
    }

    #[tokio::test]
    async fn what_may_have_failed_is_held_for_until_nothing_is_under_way() {
        let (mut purse, mut talk) = (Left(1), Charged::new());
        assert_eq!(talk.ask(&mut purse).await, Ok(()));
        talk.failed();
        assert_eq!(talk.under_way(), 0);
        assert_eq!(talk.ask(&mut purse).await, Ok(()));
        assert_eq!(purse.0, 0, "the first may begin all the same");
        assert_eq!(talk.ask(&mut purse).await, Err(POOR));
        assert_eq!(talk.created(&mut purse).await, Ok(()));
        assert_eq!(talk.done(&mut purse).await, Ok(()));
        assert_eq!(talk.ask(&mut purse).await, Ok(()), "its hold is free again");
    }

    #[tokio::test]
    async fn what_did_not_go_on_was_not_asked_for() {
        let (mut purse, mut talk) = (Left(1), Charged::new());
        for _ in 0..2 {
            assert_eq!(talk.ask(&mut purse).await, Ok(()));
        }
        talk.unask(1);
        assert_eq!((talk.under_way(), purse.0), (1, 0));
        assert_eq!(
            talk.ask(&mut purse).await,
            Ok(()),
            "its hold is there still"
        );
    }

    #[tokio::test]
    async fn there_is_an_end_to_responses_at_once() {
        let (mut purse, mut talk) = (Left(u32::MAX), Charged::new());
        for _ in 0..AT_ONCE {
            assert_eq!(talk.ask(&mut purse).await, Ok(()));
        }
        let stopped = talk.ask(&mut purse).await.map_err(|stop| stop.code);
        assert_eq!(stopped, Err(Code::RateLimited));
    }

    #[tokio::test]
    async fn whatever_happens_there_are_as_many_holds_as_responses_and_no_more_than_were_paid() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..2_000 {
            random = random.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut left = Left((random % 12) as u32);
            let (paid, mut talk, mut settled) = (left.0 + 1, Charged::new(), 0);
            for step in 0..40 {
                let happened = match random.rotate_left(step) % 4 {
                    0 => talk.ask(&mut left).await,
                    1 => talk.created(&mut left).await,
                    2 => {
                        talk.failed();
                        Ok(())
                    }
                    _ => {
                        settled += 1;
                        talk.done(&mut left).await
                    }
                };
                assert_eq!(talk.holds + settled + left.0, paid);
                if happened.is_err() {
                    break;
                }
                assert!(talk.holds >= (talk.under_way() + talk.doubtful).max(1));
            }
        }
    }
}
