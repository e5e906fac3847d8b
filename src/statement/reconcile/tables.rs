//! Reports as tables: what OpenAI's and Anthropic's consoles export, and a form of ours for everybody else's.
//!
//! Which it is, the names of the columns say. Columns that are not named here say nothing of what is compared.

use jiff::civil::Date;

use super::amount::Amount;
use super::pages::{day_of_second, model_of_item};
use super::report::{Counts, Report};
use crate::statement::csv::{self, Record};

/// The columns of a form. Several of one kind are added up.
struct Form {
    provider: Option<&'static str>,
    day: &'static str,
    model: &'static str,
    /// Columns that together are the input.
    input: &'static [&'static str],
    cached: &'static [&'static str],
    cache_write: &'static [&'static str],
    output: &'static [&'static str],
    cost: &'static str,
    /// Says in which currency the cost is.
    currency: &'static str,
}

const NONE: Form = Form {
    provider: None,
    day: "day",
    model: "model",
    input: &[],
    cached: &[],
    cache_write: &[],
    output: &[],
    cost: "",
    currency: "",
};

/// In the order in which they are tried: the first whose `day` column is there.
const FORMS: [Form; 4] = [
    // Anthropic's console, usage (`model_version`) and costs (`model`, which is how people call it).
    Form {
        provider: Some("anthropic"),
        day: "usage_date_utc",
        model: "model_version",
        input: &[
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_write",
            "usage_input_tokens_cache_read",
        ],
        cached: &["usage_input_tokens_cache_read"],
        cache_write: &[
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_write",
        ],
        output: &["usage_output_tokens"],
        cost: "cost_usd",
        ..NONE
    },
    // OpenAI's dashboard, costs (`line_item`).
    Form {
        provider: Some("openai"),
        day: "start_time",
        model: "line_item",
        cost: "amount_value",
        currency: "amount_currency",
        ..NONE
    },
    // OpenAI's dashboard, usage (`model`).
    Form {
        provider: Some("openai"),
        day: "start_time",
        input: &["input_tokens"],
        cached: &["input_cached_tokens"],
        cache_write: &["input_cache_write_tokens"],
        output: &["output_tokens"],
        ..NONE
    },
    // Ours.
    Form {
        input: &["input"],
        cached: &["cached"],
        cache_write: &["cache_write"],
        output: &["output"],
        cost: "cost",
        ..NONE
    },
];

/// Reads a table.
///
/// # Errors
/// What is wrong, with its line, for people.
pub fn read(text: &str) -> Result<Report, String> {
    let records = csv::read(text).map_err(|line| format!("line {line}: a quote is not closed"))?;
    let mut records = records.into_iter();
    let (_, header) = records.next().ok_or("the file is empty")?;
    let header: Vec<String> = header
        .iter()
        .map(|name| name.trim().to_lowercase())
        .collect();
    let table = Table::of(&header)?;
    let mut report = Report {
        provider: table.form.provider.map(str::to_owned),
        ..Report::default()
    };
    for record in records {
        let line = record.0;
        let added = table.add(&record, &mut report);
        added.map_err(|problem| format!("line {line}: {problem}"))?;
    }
    Ok(report)
}

/// A form, and where its columns are.
struct Table<'h> {
    form: &'static Form,
    header: &'h [String],
    model: Option<usize>,
}

impl<'h> Table<'h> {
    fn of(header: &'h [String]) -> Result<Self, String> {
        let has = |name: &str| header.iter().any(|column| column == name);
        let fits = |form: &&Form| {
            let counted = [form.input, form.output].concat();
            has(form.day) && (counted.iter().any(|name| has(name)) || has(form.cost))
        };
        let form = FORMS.iter().find(fits).ok_or(
            "these columns are those of no report that is known; a table of your own has `day`, `model`, and any of \
             `input`, `cached`, `cache_write`, `output`, `cost`",
        )?;
        let place = |name: &str| header.iter().position(|column| column == name);
        Ok(Self {
            form,
            header,
            model: place(form.model).or_else(|| place("model")),
        })
    }

    fn cell<'r>(&self, record: &'r Record, name: &str) -> Option<&'r str> {
        let place = self.header.iter().position(|column| column == name)?;
        let cell = record.1.get(place)?.trim();
        (!cell.is_empty()).then_some(cell)
    }

    fn add(&self, record: &Record, report: &mut Report) -> Result<(), String> {
        if record.1.len() != self.header.len() {
            let (columns, names) = (record.1.len(), self.header.len());
            return Err(format!(
                "{columns} columns, but the first line names {names}"
            ));
        }
        let day = self.cell(record, self.form.day).ok_or("there is no day")?;
        let day = day_of(day).ok_or_else(|| format!("{day:?} is no day, as 2026-01-31"))?;
        report.day(day);
        if let Some(provider) = self
            .cell(record, "provider")
            .filter(|_| self.form.provider.is_none())
        {
            let first = report.provider.get_or_insert_with(|| provider.to_owned());
            if first != provider {
                return Err(format!(
                    "it is of {provider}, lines before it of {first}; give one provider's file"
                ));
            }
        }
        let counts = self.counts(record)?;
        if counts != Counts::default() {
            let model = self.model.and_then(|place| record.1.get(place));
            let model = model.map(|model| model_of_item(model.trim()));
            report.row(day, model.filter(|model| !model.is_empty()), &counts);
        }
        Ok(())
    }

    fn counts(&self, record: &Record) -> Result<Counts, String> {
        let form = self.form;
        let currency = self.cell(record, form.currency).unwrap_or("usd");
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(format!("the amount is in {currency:?}, not in US dollars"));
        }
        let amount = |cell: &str| {
            Amount::read(cell, 0).ok_or_else(|| format!("{cell:?} is no amount, as 12.50"))
        };
        Ok(Counts {
            input: self.sum(record, form.input)?,
            cached: self.sum(record, form.cached)?,
            cache_write: self.sum(record, form.cache_write)?,
            output: self.sum(record, form.output)?,
            cost: self.cell(record, form.cost).map(amount).transpose()?,
        })
    }

    /// The sum of these columns, as far as they say something.
    fn sum(&self, record: &Record, names: &[&str]) -> Result<Option<u64>, String> {
        let cells = names.iter().filter_map(|name| self.cell(record, name));
        let mut sum = None;
        for cell in cells {
            let count: u64 = cell
                .parse()
                .map_err(|_| format!("{cell:?} is no number of tokens"))?;
            sum = Some(sum.unwrap_or(0_u64).saturating_add(count));
        }
        Ok(sum)
    }
}

/// `2026-01-31`, with or without a time behind it, or a Unix second.
fn day_of(cell: &str) -> Option<Date> {
    let date = cell.get(..10).unwrap_or(cell);
    let second = || cell.parse().ok().and_then(day_of_second);
    date.parse().ok().or_else(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Day, model, input, cached, cache write, output, cost in nano-dollars.
    type Row = (String, String, [Option<u64>; 4], Option<i64>);

    fn rows(text: &str) -> Vec<Row> {
        let report = read(text).expect(text);
        let row = |((day, model), counts): ((Date, String), Counts)| {
            let tokens = [
                counts.input,
                counts.cached,
                counts.cache_write,
                counts.output,
            ];
            let cost = counts.cost.map(|cost| cost.credits().nanos());
            (day.to_string(), model, tokens, cost)
        };
        report.rows.into_iter().map(row).collect()
    }

    fn row(day: &str, model: &str, tokens: [Option<u64>; 4], cost: Option<i64>) -> Row {
        (day.to_owned(), model.to_owned(), tokens, cost)
    }

    #[test]
    fn the_exports_of_anthropics_console_are_read() {
        let usage = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,\
            usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,\
            usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed\n\
            2026-03-22,claude-sonnet-4-20250514,\"a, b\",Default,standard,≤ 200k,46981,15969,1,2,16932,0,global,\n\
            2026-03-22,claude-sonnet-4-20250514,c,Default,standard,≤ 200k,19,0,0,0,68,0,global,\n";
        let tokens = [Some(62972), Some(2), Some(15970), Some(17000)];
        assert_eq!(
            rows(usage),
            [row("2026-03-22", "claude-sonnet-4", tokens, None)]
        );
        assert_eq!(
            read(usage).expect("a report").provider.as_deref(),
            Some("anthropic")
        );
        let costs = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,\
            list_price_usd,cost_type\n\
            2026-03-15,Claude Opus 4.6,Default,k,message,≤ 200k,input_no_cache,1.50,1.50,token\n\
            2026-03-15,Claude Opus 4.6,Default,k,message,≤ 200k,output,0.05,0.05,token\n";
        let expected = row(
            "2026-03-15",
            "claude-opus-4-6",
            [None; 4],
            Some(1_550_000_000),
        );
        assert_eq!(rows(costs), [expected]);
    }

    #[test]
    fn the_exports_of_openais_dashboard_are_read() {
        let costs = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,\
            quantity_unit,line_item,user_id,project_id\n\
            1790467200,1790553600,2026-09-27T00:00:00+00:00,2026-09-28T00:00:00+00:00,,,,,,,\n\
            1790553600,1790640000,x,x,0.003835980000000000000000000000,usd,,,,,\n\
            1790553600,1790640000,x,x,0.25,usd,1,,\"gpt-4o-2024-08-06, input\",,\n";
        let report = read(costs).expect("a report");
        let days = report.days.expect("days");
        assert_eq!(
            [days.start().to_string(), days.end().to_string()],
            ["2026-09-27", "2026-09-28"]
        );
        let expected = [
            row("2026-09-28", "", [None; 4], Some(3_835_980)),
            row("2026-09-28", "gpt-4o", [None; 4], Some(250_000_000)),
        ];
        assert_eq!(rows(costs), expected);
        let usage = "start_time,end_time,project_id,num_model_requests,model,input_tokens,output_tokens,input_cached_tokens\n\
            1790553600,1790640000,p,2,gpt-4o-2024-08-06,1000,50,800\n";
        let tokens = [Some(1000), Some(800), None, Some(50)];
        assert_eq!(rows(usage), [row("2026-09-28", "gpt-4o", tokens, None)]);
    }

    #[test]
    fn a_table_of_ones_own_has_the_columns_it_has() {
        let table = "Day,Provider,Model,Input,Output,Cost\n2026-01-31,groq,llama-3.3-70b,10,2,0.0001\n2026-02-01,,,,,\n";
        let expected = row(
            "2026-01-31",
            "llama-3-3-70b",
            [Some(10), None, None, Some(2)],
            Some(100_000),
        );
        assert_eq!(rows(table), [expected]);
        assert_eq!(
            read(table).expect("a report").provider.as_deref(),
            Some("groq")
        );
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, expected) in [
            ("", "the file is empty"),
            ("a,b\n1,2\n", "these columns are those of no report"),
            (
                "day,model\n2026-01-31,m\n",
                "these columns are those of no report",
            ),
            (
                "day,input\n2026-01-31,1,2\n",
                "line 2: 3 columns, but the first line names 2",
            ),
            (
                "day,input\n31.1.2026,1\n",
                "line 2: \"31.1.2026\" is no day",
            ),
            ("day,input\n,1\n", "line 2: there is no day"),
            (
                "day,input\n2026-01-31,1\n2026-01-31,-1\n",
                "line 3: \"-1\" is no number of tokens",
            ),
            (
                "day,input\n2026-01-31,1.5\n",
                "line 2: \"1.5\" is no number of tokens",
            ),
            ("day,cost\n2026-01-31,$1\n", "line 2: \"$1\" is no amount"),
            (
                "day,cost\n2026-01-31,\"1\n",
                "line 2: a quote is not closed",
            ),
            (
                "day,provider,cost\n2026-01-31,a,1\n2026-01-31,b,1\n",
                "line 3: it is of b, lines before it of a",
            ),
            (
                "start_time,amount_value,amount_currency\n0,1,eur\n",
                "line 2: the amount is in \"eur\"",
            ),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}
