//! A program that cannot take over costs nothing: the one that serves goes on, and says why.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::pair::{self, MODEL};
use crate::reload_files::configure;
use crate::support::bodies;
use crate::support::gateway::{Gateway, lives};
use crate::support::upstream::{self, Upstream};
use crate::support::wait;
use crate::upgrade::{before, upgrade};

/// Writes its process id to the file `hung`, and does nothing more.
const HANGS: &str = "#!/bin/sh\necho $$ >hung.new; mv hung.new hung; exec sleep 1000\n";

/// Waits for the file `go` and is the program then.
const WAITS: &str =
    "#!/bin/sh\n: >waiting; while [ ! -e go ]; do sleep 0.01; done; exec PROGRAM \"$@\"\n";

/// Says that it is ready, and ends when it is told to go, with a note of that in the file `told`.
const DIES_WHEN_TOLD: &str = "#!/bin/sh
read -r sockets; echo '\"ready\"' >&0; read -r word; echo \"$word\" >told; exit 3
";

/// Says that it is ready, and does nothing when it is told to go.
const IS_DEAF: &str = "#!/bin/sh
echo $$ >hung.new; mv hung.new hung; echo '\"ready\"' >&0; exec sleep 1000
";

async fn started(patience: &str) -> (Gateway, Upstream) {
    let upstream = upstream::h1().otherwise(pair::good()).start().await;
    let builder = before(&upstream).config("server.upgrade", patience);
    (builder.replaceable().start().await, upstream)
}

/// Puts a script in the program's place.
fn put(gateway: &Gateway, script: &str) {
    let program = gateway.folder().join("tollgate");
    let next = gateway.folder().join("tollgate.new");
    std::fs::write(&next, script).expect("a script");
    std::fs::set_permissions(&next, PermissionsExt::from_mode(0o755)).expect("executable");
    std::fs::rename(next, program).expect("replaced");
}

async fn serves(gateway: &Gateway) -> bool {
    gateway.chat(bodies::chat(MODEL).build()).await.status == 200
}

/// What is said of an upgrade that fails, after which the process goes on.
async fn refused(gateway: &Gateway, count: f64) -> String {
    let answer = gateway.post_admin("/upgrade").await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.json()["upgraded"], false);
    assert!(serves(gateway).await);
    assert_eq!(gateway.ask_admin("/readyz").await.status, 200);
    let failed = [("outcome", "failed")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_upgrades_total", &failed), count);
    answer.json()["problems"].to_string()
}

fn process_in(file: &Path) -> u32 {
    let text = std::fs::read_to_string(file).expect("its process id");
    text.trim().parse().expect("a number")
}

#[tokio::test]
async fn one_that_is_missing_or_ends_or_has_mistakes_in_its_configuration_changes_nothing() {
    let (gateway, _upstream) = started("30s").await;
    let program = gateway.folder().join("tollgate");
    let link = std::fs::read_link(&program).expect("a link");

    std::fs::remove_file(&program).expect("removed");
    let told = refused(&gateway, 1.0).await;
    assert!(told.contains("No such file"), "{told}");

    put(&gateway, "#!/bin/sh\nexit 7\n");
    let told = refused(&gateway, 2.0).await;
    assert!(told.contains("ended"), "{told}");

    std::fs::remove_file(&program).expect("removed");
    symlink(link, &program).expect("a link");
    let file = gateway.config_file();
    let good = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, format!("nonsense = 1\n{good}")).expect("written");
    let told = refused(&gateway, 3.0).await;
    assert!(told.contains("nonsense"), "{told}");

    std::fs::write(&file, good).expect("written");
    upgrade(&gateway).await;
    assert_eq!(gateway.ended().await, Some(0));
    assert!(serves(&gateway).await);
}

#[tokio::test]
async fn one_that_hangs_is_ended_and_a_second_meanwhile_is_refused() {
    let (gateway, _upstream) = started("10m").await;
    configure(&gateway, "server", "upgrade", "2s");
    assert_eq!(gateway.post_admin("/reload").await.status, 200);
    put(&gateway, HANGS);
    let hung = gateway.folder().join("hung");
    let second = async {
        wait::until("one that hangs", || hung.exists()).await;
        let second = gateway.post_admin("/upgrade").await;
        assert_eq!(second.status, 409, "{}", second.text());
        assert_eq!(second.json()["error"]["code"], "upgrade_in_progress");
    };
    let (told, ()) = tokio::join!(refused(&gateway, 1.0), second);
    assert!(told.contains("not ready within 2s"), "{told}");
    let hung = process_in(&hung);
    wait::until("the end of what hangs", || !lives(hung)).await;
    let refused = [("outcome", "refused")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_upgrades_total", &refused), 1.0);
    assert_eq!(gateway.stop().await, Some(0));
}

#[tokio::test]
async fn one_that_ends_or_hangs_between_ready_and_serving_changes_nothing() {
    let (gateway, _upstream) = started("30s").await;
    let program = gateway.folder().join("tollgate");
    let link = std::fs::read_link(&program).expect("a link");
    let (told, hung) = (gateway.folder().join("told"), gateway.folder().join("hung"));
    for count in [1.0, 2.0, 3.0] {
        put(&gateway, DIES_WHEN_TOLD);
        let why = refused(&gateway, count).await;
        assert!(why.contains("ended before it served"), "{why}");
        let word = std::fs::read_to_string(&told).expect("it was told");
        assert!(word.starts_with(r#"{"go":"#), "{word}");
        std::fs::remove_file(&told).expect("removed");
    }
    put(&gateway, IS_DEAF);
    let why = refused(&gateway, 4.0).await;
    assert!(why.contains("did not serve within"), "{why}");
    let hung = process_in(&hung);
    wait::until("the end of what hangs", || !lives(hung)).await;

    std::fs::remove_file(&program).expect("removed");
    symlink(link, &program).expect("a link");
    upgrade(&gateway).await;
    assert_eq!(gateway.ended().await, Some(0));
    assert!(serves(&gateway).await);
}

#[tokio::test]
async fn a_stop_during_an_upgrade_ends_both() {
    let (gateway, _upstream) = started("30s").await;
    put(&gateway, HANGS);
    gateway.signal("USR2");
    let hung = gateway.folder().join("hung");
    wait::until("one that hangs", || hung.exists()).await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    let hung = process_in(&hung);
    wait::until("the end of what hangs", || !lives(hung)).await;
}

#[tokio::test]
async fn a_reload_that_is_asked_for_during_an_upgrade_is_made_by_both() {
    let (gateway, _upstream) = started("30s").await;
    let program = std::fs::read_link(gateway.folder().join("tollgate")).expect("a link");
    put(
        &gateway,
        &WAITS.replace("PROGRAM", &program.display().to_string()),
    );
    gateway.signal("USR2");
    let waiting = gateway.folder().join("waiting");
    wait::until("one that waits", || waiting.exists()).await;
    gateway.signal("HUP");
    let reloads = || {
        let lines = gateway.log_lines();
        lines
            .iter()
            .filter(|line| line.contains("reloaded; the catalog"))
            .count()
    };
    wait::until("the first reload", || reloads() == 1).await;
    std::fs::write(gateway.folder().join("go"), "").expect("written");
    assert_eq!(gateway.ended().await, Some(0));
    wait::until("the second reload", || reloads() == 2).await;
    assert!(serves(&gateway).await);
}
