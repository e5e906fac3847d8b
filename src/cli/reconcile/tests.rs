use super::*;
use crate::cli::usage::tests::used;
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// What is said of a report with this text, and whether something differs.
async fn say(text: &str, arguments: &[&str]) -> Result<(String, bool), CliError> {
    let (folder, store, _) = used().await;
    let file = folder.path().join("report");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let all = ["reconcile", &file]
        .into_iter()
        .chain(arguments.iter().copied());
    let arguments = Arguments::try_parse_from(all).unwrap();
    let mut out = Vec::new();
    let differs = run(&arguments.options, &Books::Store(store.clone()), &mut out).await?;
    Ok((String::from_utf8(out).unwrap(), differs))
}

const AGREES: &str = "start_time,end_time,model,input_tokens,output_tokens,input_cached_tokens\n\
    1799971200,1800057600,gpt-4o-2024-08-06,1500,2,0\n1799971200,1800057600,gpt-4o-mini,10,1,0\n";

#[tokio::test]
async fn a_report_that_agrees_says_so() {
    let (said, differs) = say(AGREES, &[]).await.unwrap();
    assert_eq!(
        said,
        "openai, 2027-01-15 to 2027-01-15: 6 compared, 0 differ.\n"
    );
    assert!(!differs);
    let (said, _) = say(AGREES, &["--all", "--format", "csv"]).await.unwrap();
    assert_eq!(said.lines().count(), 7);
    assert!(
        said.contains("2027-01-15,gpt-4o,input,1500,1500,0,false,0"),
        "{said}"
    );
}

#[tokio::test]
async fn what_differs_is_told_with_both_sides() {
    let text = "day,provider,model,input,cost\n2027-01-15,openai,gpt-4o,1600,1.50\n2027-01-15,openai,gpt-4o-mini,10,0.01\n";
    let (said, differs) = say(text, &[]).await.unwrap();
    assert_eq!(
        said,
        "DAY         MODEL        WHAT   PROVIDER      OURS  DIFFERENCE  ABOUT\n\
         2027-01-15  gpt-4o       input   1600     1500        -100\n\
         2027-01-15  gpt-4o-mini  cost      $0.01    $0.005     -$0.005\n\
         \n\
         openai, 2027-01-15 to 2027-01-15: 4 compared, 2 differ.\n"
    );
    assert!(differs);
    let tolerant = ["--tolerance", "6.25", "--tolerance-dollars", "0.005"];
    assert!(!say(text, &tolerant).await.unwrap().1);
    let (said, _) = say(text, &["--format", "json"]).await.unwrap();
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&told["differing"], &told["pairs"][0]["difference"]),
        (&2.into(), &"-100".into())
    );
    let (said, differs) = say(text, &["--credential", "byok"]).await.unwrap();
    assert!(differs && said.contains("4 compared, 4 differ"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_reason() {
    for (text, arguments, words) in [
        ("", &[][..], "the file is empty"),
        ("a,b\n1,2\n", &[], "these columns"),
        ("day,input\n2027-01-15,1\n", &[], "say --provider"),
        (
            r#"{"has_more":true,"data":[{"start_time":0}]}"#,
            &[],
            "further pages",
        ),
        ("day,input\n", &["--provider", "groq"], "about no day"),
        (
            "day,input\n2027-01-15,1\n",
            &["/nowhere/at-all"],
            "cannot read /nowhere/at-all",
        ),
    ] {
        let refused = say(text, arguments).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{text}: {refused}");
    }
    for wrong in [
        ["--tolerance", "-1"],
        ["--tolerance", "1.23456"],
        ["--tolerance-dollars", "x"],
    ] {
        let all = ["reconcile", "f"].into_iter().chain(wrong);
        assert!(Arguments::try_parse_from(all).is_err(), "{wrong:?}");
    }
}
