//! Files that change under a running gateway, in the ways in which editors and deployments change them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::bodies;
use crate::support::gateway::{Builder, Gateway, custom, gateway};
use crate::support::upstream::{self, Reply, Upstream};
use crate::support::wait;

async fn house() -> (Builder, Upstream) {
    let upstream = upstream::h1().reply(Reply::json(200, "{}")).start().await;
    let builder = gateway().custom(custom("house").model("small"), &upstream);
    (builder, upstream)
}

/// A file that gives the model another name.
fn named(name: &str) -> Value {
    json!({"virtual_models": {name: ["house:small"]}})
}

async fn serves(gateway: &Gateway, name: &str) -> bool {
    gateway.chat(bodies::chat(name).build()).await.status == 200
}

async fn until_served(gateway: &Gateway, name: &str) {
    let served = async {
        while !serves(gateway, name).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    wait::within(name, served).await;
}

#[tokio::test]
async fn a_file_that_is_renamed_into_place_is_a_reload() {
    let (builder, _upstream) = house().await;
    let gateway = builder.start().await;
    gateway.write_catalog("more", &named("fresh"));
    gateway
        .log_until("the reload", |line| line.contains("reloaded"))
        .await;
    assert!(serves(&gateway, "fresh").await);
}

#[tokio::test]
async fn a_file_that_an_editor_moves_aside_and_writes_anew_is_a_reload() {
    let (builder, _upstream) = house().await;
    let gateway = builder.catalog("more", named("old")).start().await;
    let file = gateway.folder().join("catalog/more.json");
    let backup = gateway.folder().join("catalog/more.json~");
    fs::rename(&file, &backup).expect("moved");
    fs::write(&file, named("fresh").to_string()).expect("written");
    fs::remove_file(&backup).expect("removed");
    until_served(&gateway, "fresh").await;
    assert!(!serves(&gateway, "old").await);
}

#[tokio::test]
async fn a_file_that_is_written_in_two_steps_is_read_whole_in_the_end() {
    let (builder, _upstream) = house().await;
    let gateway = builder.catalog("more", named("old")).start().await;
    let path = gateway.folder().join("catalog/more.json");
    let text = named("fresh").to_string();
    let (first, second) = text.split_at(text.len() / 2);
    let mut file = fs::File::create(&path).expect("opened");
    file.write_all(first.as_bytes()).expect("written");
    file.sync_all().expect("on disk");
    tokio::time::sleep(Duration::from_millis(50)).await;
    file.write_all(second.as_bytes()).expect("written");
    until_served(&gateway, "fresh").await;
}

/// Kubernetes mounts a folder of links through `..data`, which is a link that is replaced.
#[tokio::test]
async fn a_mounted_folder_that_gets_another_content_is_a_reload() {
    let (builder, _upstream) = house().await;
    let catalog = builder.folder().join("catalog");
    content(&catalog, "..2026_01", &named("old"));
    symlink("..2026_01", catalog.join("..data")).expect("a link");
    symlink("..data/more.json", catalog.join("more.json")).expect("a link");
    let gateway = builder.start().await;
    assert!(serves(&gateway, "old").await);
    for (content_name, name) in [("..2026_02", "fresh"), ("..2026_03", "fresher")] {
        content(&catalog, content_name, &named(name));
        symlink(content_name, catalog.join("..data_tmp")).expect("a link");
        fs::rename(catalog.join("..data_tmp"), catalog.join("..data")).expect("replaced");
        until_served(&gateway, name).await;
    }
    assert!(!serves(&gateway, "old").await);
}

fn content(catalog: &Path, name: &str, file: &Value) {
    fs::create_dir(catalog.join(name)).expect("a folder");
    fs::write(catalog.join(name).join("more.json"), file.to_string()).expect("a file");
}

#[tokio::test]
async fn a_folder_that_is_replaced_as_a_whole_is_a_reload_and_is_watched_then() {
    let (builder, _upstream) = house().await;
    let gateway = builder.start().await;
    let catalog = gateway.folder().join("catalog");
    let next = gateway.folder().join("catalog.next");
    fs::create_dir(&next).expect("a folder");
    fs::copy(catalog.join("house.json"), next.join("house.json")).expect("copied");
    fs::write(next.join("more.json"), named("fresh").to_string()).expect("a file");
    fs::rename(&catalog, gateway.folder().join("catalog.old")).expect("moved");
    fs::rename(&next, &catalog).expect("moved");
    until_served(&gateway, "fresh").await;
    gateway.write_catalog("more", &named("fresher"));
    until_served(&gateway, "fresher").await;
}

#[tokio::test]
async fn the_file_that_a_link_leads_to_is_watched_too() {
    let (builder, _upstream) = house().await;
    let real = builder.folder().join("real");
    fs::write(&real, named("old").to_string()).expect("a file");
    symlink(&real, builder.folder().join("catalog/more.json")).expect("a link");
    let gateway = builder.start().await;
    assert!(serves(&gateway, "old").await);
    fs::write(&real, named("fresh").to_string()).expect("a file");
    until_served(&gateway, "fresh").await;
}

#[tokio::test]
async fn the_configuration_is_watched_too() {
    let (builder, _upstream) = house().await;
    let gateway = builder.start().await;
    assert!(serves(&gateway, "house:small").await);
    let text = fs::read_to_string(gateway.config_file()).expect("a file");
    let off = text.replace("[providers.house]", "[providers.house]\nenabled = false");
    assert_ne!(text, off);
    fs::write(gateway.config_file(), off).expect("written");
    gateway
        .log_until("the reload", |line| line.contains("reloaded"))
        .await;
    assert!(!serves(&gateway, "house:small").await);
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_a_file_that_says_the_same_is_no_reload() {
    let (builder, _upstream) = house().await;
    let gateway = builder
        .config("log.level", "debug")
        .catalog("more", named("old"))
        .start()
        .await;
    gateway.write_catalog(
        "more",
        &json!({"virtual_models": {"old": ["nowhere:x", 7]}}),
    );
    gateway
        .log_until("the mistake", |line| line.contains("more.json:"))
        .await;
    assert!(serves(&gateway, "old").await);
    gateway.write_catalog("more", &named("old"));
    gateway
        .log_until("the reload", |line| line.contains("reloaded"))
        .await;
    gateway.write_catalog("more", &named("old"));
    gateway
        .log_until("the look", |line| {
            line.contains("say what they said before")
        })
        .await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("tollgate_reload_failures_total", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_reloads_total", &[]), 2.0);
}

#[tokio::test]
async fn a_folder_that_the_configuration_names_only_later_is_watched_from_then_on() {
    let (builder, _upstream) = house().await;
    let gateway = builder.start().await;
    let added = gateway.folder().join("added");
    fs::create_dir(&added).expect("a folder");
    let text = fs::read_to_string(gateway.config_file()).expect("a file");
    let mut config: toml::Table = text.parse().expect("TOML");
    let paths = config["catalog"]["paths"].as_array_mut().expect("a list");
    paths.push(added.display().to_string().into());
    fs::write(gateway.config_file(), config.to_string()).expect("written");
    let answer = gateway.post_admin("/reload").await;
    assert_eq!(answer.status, 200);
    fs::write(added.join("more.json"), named("fresh").to_string()).expect("written");
    until_served(&gateway, "fresh").await;
    fs::write(added.join("more.json"), named("fresher").to_string()).expect("written");
    until_served(&gateway, "fresher").await;
}
