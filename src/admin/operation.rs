//! What the API does: each operation says by its types what it takes and answers, and both what is read and what is
//! documented follow from them.

use std::pin::Pin;

use jiff::Timestamp;
use pingora::http::RequestHeader;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::{self, Answer};
use super::fault::{Code, Fault};
use super::openapi::{Schemas, Shape};
use super::route::{Access, Call, Params, Row, Verb};
use super::{AdminApp, body, query};
use crate::store::Store;

/// An answer in the making.
pub type Handled<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// One thing that the API does.
pub trait Operation {
    /// The parameters in its query.
    type Query: DeserializeOwned + JsonSchema + Send;
    /// Its body; [`Nothing`] where it has none.
    type Body: DeserializeOwned + JsonSchema + Send;
    /// What it answers.
    type Answer: Serialize + JsonSchema;

    /// Status of its answer.
    const STATUS: u16 = 200;
    /// Whether it has a body.
    const HAS_BODY: bool = false;
    /// Bytes of its body at the most.
    const BODY_MAX: usize = body::BODY_MAX;
    /// Whether it may go through very many rows: few of them run at one time, and others wait.
    const IS_HEAVY: bool = false;
    /// What it may refuse, beside what every operation does.
    const FAULTS: &'static [Code] = &[];

    /// Does it.
    fn run(
        app: &AdminApp,
        asked: Asked<Self::Query, Self::Body>,
    ) -> impl Future<Output = Result<Self::Answer, Fault>> + Send;
}

/// A request, read.
pub struct Asked<Q, B> {
    /// What its path says.
    pub params: Params,
    /// What its query says.
    pub query: Q,
    /// What its body says.
    pub body: B,
    /// When it came.
    pub now: Timestamp,
    /// The store, for what who asked changes.
    pub store: Store,
}

/// No parameters, or no body.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The row of an operation.
pub const fn row<O: Operation>(
    verb: Verb,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
) -> Row {
    Row {
        verb,
        path,
        name,
        summary,
        access: Access::Guarded,
        describe: describe::<O>,
        run: run::<O>,
    }
}

fn describe<O: Operation>(schemas: &mut Schemas) -> Shape {
    let mut faults = vec![
        Code::InvalidRequest,
        Code::StoreUnavailable,
        Code::Overloaded,
    ];
    if O::HAS_BODY {
        faults.extend([Code::BodyTooLarge, Code::UnsupportedMediaType]);
    }
    faults.extend(O::FAULTS);
    Shape {
        query: schemas.asked::<O::Query>(),
        body: O::HAS_BODY.then(|| schemas.asked::<O::Body>()),
        answers: vec![(O::STATUS, answer::JSON, schemas.answered::<O::Answer>())],
        faults,
    }
}

fn run<'a, O: Operation>(app: &'a AdminApp, call: Call<'a>) -> Handled<'a> {
    Box::pin(async move {
        match attempt::<O>(app, call).await {
            Ok(done) => answer::json(O::STATUS, &done),
            Err(fault) => fault.answer(),
        }
    })
}

async fn attempt<O: Operation>(app: &AdminApp, call: Call<'_>) -> Result<O::Answer, Fault> {
    let Ok(_place) = app.calls.try_acquire() else {
        let message = "as many requests are under way as may be; try again shortly";
        return Err(Fault::new(Code::Overloaded, message));
    };
    let Call {
        session,
        params,
        who,
        ..
    } = call;
    let now = app.now();
    let asked = Asked {
        params,
        query: query::read(query_of(session.req_header()))?,
        body: if O::HAS_BODY {
            body::read(session, O::BODY_MAX).await?
        } else {
            // `Nothing`, which can be read from anything that is empty.
            query::read(None)?
        },
        now,
        store: app.store.by(who, now.as_second()),
    };
    // It is never closed.
    let _turn = if O::IS_HEAVY {
        app.heavy.acquire().await.ok()
    } else {
        None
    };
    O::run(app, asked).await
}

fn query_of(header: &RequestHeader) -> Option<&str> {
    header.uri.query()
}
