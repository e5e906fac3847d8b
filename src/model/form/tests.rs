use super::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=xyz";

/// A part.
fn part(head: &str, value: &str) -> String {
    format!("--xyz\r\n{head}\r\n\r\n{value}\r\n")
}

fn named(name: &str, value: &str) -> String {
    part(
        &format!("Content-Disposition: form-data; name=\"{name}\""),
        value,
    )
}

const FILE: &str = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a; name=\\\"model\\\".wav\"\r\nContent-Type: audio/wav\r\n\r\n\r\n-\r\n--xy\r\r\n--xxyz\r\nname=\"model\"\r\n\r\nno\r\n";

/// What comes of a form with these parts, however it is cut.
#[track_caller]
fn read(body: &str) -> Result<Form, Flaw> {
    let whole = fed(body, usize::MAX);
    for size in [1, 2, 3, 7, 64] {
        let cut = fed(body, size);
        let told = |form: &Result<Form, Flaw>| {
            let told = form.as_ref().map(|form| form.model().cloned());
            told.map_err(|flaw| *flaw)
        };
        assert_eq!(told(&cut), told(&whole), "by {size}: {body}");
    }
    whole
}

fn fed(body: &str, size: usize) -> Result<Form, Flaw> {
    let mut form = Form::of_type(TYPE).expect("a form")?;
    for piece in body.as_bytes().chunks(size) {
        form.feed(piece)?;
    }
    form.finish()?;
    Ok(form)
}

#[track_caller]
fn finds(body: &str, name: &str) -> Form {
    let form = read(body).unwrap_or_else(|flaw| panic!("{flaw}: {body}"));
    let model = form.model().expect("a model");
    assert_eq!(model.name, name);
    assert_eq!(&body[model.value.clone()], name);
    form
}

#[track_caller]
fn refuses(body: &str, flaw: Flaw) {
    let told = read(body).expect_err(body);
    assert_eq!(told, flaw, "{body}");
}

const END: &str = "--xyz--\r\n";

#[test]
fn the_field_is_found_wherever_it_stands() {
    let model = named("model", "whisper-1");
    let other = named("language", "en");
    for body in [
        format!("{model}{END}"),
        format!("{model}{FILE}{other}{END}"),
        format!("{FILE}{model}{END}"),
        format!("{other}{FILE}{model}--xyz--"),
        format!("\r\n{model}--xyz-- \r\n\r\n"),
        format!("--xyz \t\r\n{}{END}", &model[7..]),
    ] {
        let form = finds(&body, "whisper-1");
        assert!(!form.is_streamed());
    }
    let streamed = format!("{}{model}{END}", named("stream", "True"));
    assert!(finds(&streamed, "whisper-1").is_streamed());
    let plain = format!("{}{model}{END}", named("stream", &"true".repeat(100)));
    assert!(!finds(&plain, "whisper-1").is_streamed());
}

#[test]
fn its_head_may_be_written_in_any_usual_way() {
    for head in [
        "content-disposition:form-data;name=model",
        "Content-Type: text/plain\r\nContent-Disposition: Form-Data; x=y ; NAME=\"model\";",
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: 8bit",
    ] {
        finds(&format!("{}{END}", part(head, "openai:m/ü")), "openai:m/ü");
    }
}

#[test]
fn what_two_servers_could_read_in_two_ways_is_refused() {
    let model = named("model", "a");
    let with = |head: &str| format!("{}{END}", part(head, "a"));
    for (body, flaw) in [
        (format!("{model}{model}{END}"), Flaw::Twice),
        (format!("{}{END}", named("Model", "a")), Flaw::LookAlike),
        (format!("{}{END}", named(" model", "a")), Flaw::LookAlike),
        (format!("{}{END}", named("mo\\del", "a")), Flaw::LookAlike),
        (
            with("Content-Disposition: form-data; name=\"model\"; filename=\"a\""),
            Flaw::NotPlain,
        ),
        (
            with(
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
            ),
            Flaw::NotPlain,
        ),
        (
            with("Content-Disposition: form-data; name=\"model\"; name=\"x\""),
            Flaw::Head,
        ),
        (
            with("Content-Disposition: form-data; name*=utf-8''model"),
            Flaw::Head,
        ),
        (
            with("Content-Disposition: attachment; name=\"model\""),
            Flaw::Head,
        ),
        (with("Content-Disposition: form-data"), Flaw::Head),
        (
            with("Content-Disposition: form-data; name=\"model"),
            Flaw::Head,
        ),
        (with("Content-Type: text/plain"), Flaw::Head),
        (with("no colon"), Flaw::Head),
        (
            with("a: b\nContent-Disposition: form-data; name=\"model\""),
            Flaw::Head,
        ),
        (
            with("a: b\rContent-Disposition: form-data; name=\"model\""),
            Flaw::Head,
        ),
        (
            with("a: b\r\n Content-Disposition: form-data; name=\"model\""),
            Flaw::Head,
        ),
        (with(&"x: y\r\n".repeat(2_000)), Flaw::Head),
    ] {
        refuses(&body, flaw);
    }
}

#[test]
fn what_is_no_name_is_refused() {
    for value in [
        "",
        "a\r\nb",
        "a\0",
        &"x".repeat(MODEL_MAX + 1),
        &"x".repeat(1 << 20),
    ] {
        refuses(&format!("{}{END}", named("model", value)), Flaw::NotAName);
    }
    let longest = "x".repeat(MODEL_MAX);
    finds(&format!("{}{END}", named("model", &longest)), &longest);
}

#[test]
fn boundaries_that_lie_and_forms_that_are_cut_off_are_told() {
    let model = named("model", "a");
    for (body, flaw) in [
        (String::new(), Flaw::CutOff),
        ("--abc\r\n".to_owned(), Flaw::Beginning),
        (format!("preamble\r\n{model}{END}"), Flaw::Beginning),
        (END.to_owned(), Flaw::Missing),
        (format!("{FILE}{END}"), Flaw::Missing),
        // Two fields, the first without a value: not one that holds the other.
        (
            format!("--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}{END}"),
            Flaw::NotAName,
        ),
        (format!("{model}{END}x"), Flaw::Followed),
        (format!("{model}--xyz-\r\n"), Flaw::Delimiter),
        (format!("{model}--xyzz\r\n"), Flaw::Delimiter),
        (format!("{model}--xyz\n{END}"), Flaw::Delimiter),
    ] {
        refuses(&body, flaw);
    }
    let whole = format!("{model}{FILE}--xyz--");
    for end in 0..whole.len() {
        refuses(&whole[..end], Flaw::CutOff);
    }
}

#[test]
fn only_a_usable_boundary_is_one() {
    let told = |kind: &str| Form::of_type(kind.as_bytes()).map(|form| form.err());
    for other in ["application/json", "multipart/mixed; boundary=x", ""] {
        assert_eq!(told(other), None, "{other}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a; boundary=a",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a{b",
        "multipart/form-data; boundary=a; boundary*=utf-8''b",
        "multipart/form-data; Boundary*0=b; boundary=a",
        &long,
    ] {
        assert_eq!(told(bad), Some(Some(Flaw::Boundary)), "{bad}");
    }
    for good in [
        "multipart/form-data; boundary=xyz",
        "Multipart/Form-Data;charset=utf-8;Boundary=\"x y'()+_,-./:=?z\"",
    ] {
        assert_eq!(told(good), Some(None), "{good}");
    }
}

#[test]
fn a_large_file_is_passed_over_in_constant_memory() {
    let mut form = Form::of_type(TYPE).expect("a form").expect("a boundary");
    form.feed(named("model", "a").as_bytes()).expect("read");
    form.feed(&FILE.as_bytes()[..FILE.len() - 2]).expect("read");
    let noise: Vec<u8> = (0..1_u32 << 16)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for _ in 0..64 {
        form.feed(&noise).expect("read");
    }
    assert!(form.gathered.capacity() <= 2 * HEAD_MAX);
    form.feed(b"\r\n--xyz--\r\n").expect("read");
    assert_eq!(form.finish(), Ok(()));
}
