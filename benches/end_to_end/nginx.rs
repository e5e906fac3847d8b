//! nginx as a reverse proxy for an API of this kind: one worker, a keep-alive pool to the upstream,
//! answers passed on as they arrive, one JSON line a request in the access log (written in blocks).
//!
//! Request bodies are passed on as they arrive (`proxy_request_buffering off`): measured, it costs
//! nginx no more than gathering them and adds less latency at 1 MB. Gathering, its default and what a
//! gateway that has to find `model` does too, is there by option, in memory.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where Debian's package puts it.
pub const PROGRAM: &str = "/usr/sbin/nginx";

/// Writes the configuration into `folder`.
pub fn write_config(
    folder: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    gather_bodies: bool,
) -> io::Result<PathBuf> {
    let at = folder.display();
    let buffering = if gather_bodies { "on" } else { "off" };
    let text = format!(
        r#"daemon off;
worker_processes 1;
pid {at}/nginx.pid;
error_log {at}/nginx-error.log warn;
events {{ worker_connections 16384; }}
http {{
    log_format line escape=json '{{"time":"$time_iso8601","id":"$request_id","method":"$request_method",'
        '"path":"$uri","status":$status,"seconds":$request_time,"upstream":"$upstream_addr",'
        '"upstream_seconds":"$upstream_response_time","received":$request_length,"sent":$bytes_sent}}';
    access_log {at}/nginx-access.log line buffer=64k flush=1s;
    client_body_temp_path {at}/nginx-body;
    proxy_temp_path {at}/nginx-proxy;
    fastcgi_temp_path {at}/nginx-fastcgi;
    uwsgi_temp_path {at}/nginx-uwsgi;
    scgi_temp_path {at}/nginx-scgi;
    client_max_body_size 64m;
    client_body_buffer_size 2m;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    upstream mock {{
        server {upstream};
        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host {upstream};
            proxy_request_buffering {buffering};
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"#
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, text)?;
    Ok(path)
}
