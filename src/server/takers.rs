//! What a reload changes beside what requests pin. All of it is made ready first: read, resolved, opened. Where something
//! fails nothing has changed; what is ready is then taken up, which cannot fail.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::connections::Connections;
use super::descriptors::Descriptors;
use super::one;
use super::otel::{self, Telling};
use crate::admin::{Door, Guard};
use crate::config::{Admin, AdminAddress, Config};
use crate::ledger::Ledger;
use crate::live::Lasting;
use crate::log::access::AccessLog;
use crate::log::logger;
use crate::log::output::Output;
use crate::proxy::memory::ReplayMemory;
use crate::secret::SecretRef;
use crate::upstream::dns::Ways;

/// All who take something up.
pub(super) struct Takers {
    pub(super) memory: Arc<ReplayMemory>,
    pub(super) connections: Arc<Connections>,
    pub(super) descriptors: Descriptors,
    pub(super) access_log: Arc<AccessLog>,
    pub(super) telling: Arc<Telling>,
    pub(super) lasting: Arc<Lasting>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) audit_kept: watch::Sender<Duration>,
    /// Where the admin listener is, and who guards it.
    pub(super) admin: Option<(AdminAddress, Arc<Door>)>,
}

/// What is ready.
pub(super) struct Prepared {
    now: Config,
    guard: Option<Guard>,
    telling: Option<otel::Next>,
    access_log: Option<Output>,
    logger: Option<Output>,
}

impl Takers {
    /// Makes ready what `now` says otherwise than `before`, which is in use.
    ///
    /// # Errors
    /// Every problem; nothing has changed then.
    pub(super) fn prepare(&self, before: &Config, now: &Config) -> Result<Prepared, Vec<String>> {
        let guard = self.guard(now);
        let telling = self.telling.prepare(now, &self.lasting.resolver);
        let (guard, telling) = match (guard, telling) {
            (Ok(guard), Ok(telling)) => (guard, telling),
            (guard, telling) => {
                let problems = [guard.err(), telling.err()];
                return Err(problems.into_iter().flatten().flatten().collect());
            }
        };
        // Last, since what is opened may be a new file.
        let (access_log, logger) = self.logs(before, now)?;
        Ok(Prepared {
            now: now.clone(),
            guard,
            telling,
            access_log,
            logger,
        })
    }

    /// Takes into use what is ready.
    pub(super) fn take_up(&self, prepared: Prepared) {
        let now = &prepared.now;
        self.memory.limit_to(now.limits.replay_total);
        self.connections.limit_to(now.limits.connections);
        self.descriptors.provide(now);
        self.lasting.resolver.look_up_by(Ways::of(&now.dns));
        self.ledger.recover_as(now.credit.recovered);
        self.audit_kept.send_if_modified(|kept| {
            std::mem::replace(kept, now.store.audit_kept) != now.store.audit_kept
        });
        if let Some(((_, door), guard)) = self.admin.as_ref().zip(prepared.guard) {
            door.post(guard);
        }
        if let Some(next) = prepared.telling {
            self.telling.take_up(next);
        }
        if let Some(output) = prepared.access_log {
            self.access_log.take_up(output);
        }
        if let Some(output) = prepared.logger {
            log::info!("the log goes on where and how log.errors and log.format say now");
            logger::take_up(output);
        }
        logger::configure(now.log.level);
    }

    /// The guard of the listener that there is. One that was to listen elsewhere, where it needs no token, needs one here.
    fn guard(&self, now: &Config) -> Result<Option<Guard>, Vec<String>> {
        let Some(((address, _), now)) = self.admin.as_ref().zip(now.admin.as_ref()) else {
            return Ok(None);
        };
        if now.token.is_none() && now.address != *address {
            return Ok(None);
        }
        guard(address, now.token.as_ref()).map(Some)
    }

    /// What the two logs go to from now on, where that is something else.
    fn logs(
        &self,
        before: &Config,
        now: &Config,
    ) -> Result<(Option<Output>, Option<Output>), Vec<String>> {
        let (before, now) = (&before.log, &now.log);
        let (mut access_log, mut logger) = (None, None);
        let form = |log: &crate::config::Log| (log.format, log.queue);
        let is_other_form = form(before) != form(now);
        if is_other_form || before.access != now.access {
            let opened = self.access_log.prepare(&now.access, now.format, now.queue);
            let named = |error| one(format!("log.access: {error}"));
            access_log = Some(opened.map_err(named)?);
        }
        if is_other_form || before.errors != now.errors {
            let opened = logger::prepare(&now.errors, now.format, now.queue);
            logger = opened.map_err(|error| one(format!("log.errors: {error}")))?;
        }
        Ok((access_log, logger))
    }
}

/// The guard of a listener at `address`.
///
/// # Errors
/// The token cannot be had.
fn guard(address: &AdminAddress, token: Option<&SecretRef>) -> Result<Guard, Vec<String>> {
    let token = token.map(SecretRef::resolve_token).transpose();
    let token = token.map_err(|error| one(format!("admin.token: {error}")))?;
    Ok(match (token, address) {
        (Some(token), _) => Guard::Token(token),
        (None, AdminAddress::Tcp(_)) => Guard::Loopback,
        (None, AdminAddress::Unix(_)) => Guard::Socket,
    })
}

/// The door of the listener that `admin` says.
///
/// # Errors
/// The token cannot be had.
pub(super) fn door(admin: &Admin) -> Result<Arc<Door>, Vec<String>> {
    let guard = guard(&admin.address, admin.token.as_ref())?;
    Ok(Arc::new(Door::new(guard)))
}
