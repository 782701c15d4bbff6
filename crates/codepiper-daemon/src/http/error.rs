//! Refusals as answers: the fault alone decides the status, and every answer is JSON.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use codepiper_api::{Fault, Refusal};
use serde::de::DeserializeOwned;

/// A refusal on its way out.
pub(super) struct Refused(pub(super) Refusal);

/// What a handler gives.
pub(super) type Answer<T> = Result<T, Refused>;

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// A JSON body, or a refusal that names the field.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(refuse_bytes)?;
        // An empty body is an empty object: every field has a default or is asked for by name.
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::new(Fault::Usage, format!("the body is no JSON: {error}")))?;
        if !value.is_object() {
            return Err(Refusal::new(Fault::Usage, "the body must be a JSON object").into());
        }
        serde_path_to_error::deserialize(value).map(Body).map_err(|error| Refused(in_body(&error)))
    }
}

/// The query string, or a refusal that names the field.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        match read {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Refusal::new(
                Fault::Usage,
                format!("the query is not understood: {}", rejection.body_text()),
            )
            .into()),
        }
    }
}

fn in_body(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let path = error.path().to_string();
    let why = error.inner();
    if path == "." {
        return Refusal::new(Fault::Usage, format!("the body is not as it must be: {why}"));
    }
    Refusal::field(&path, format_args!("is not as it must be: {why}"))
}

fn refuse_bytes(rejection: BytesRejection) -> Refused {
    let fault = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge,
        _ => Fault::Usage,
    };
    Refusal::new(fault, rejection.body_text().to_lowercase()).into()
}

pub(super) async fn no_such_route(method: Method, uri: Uri) -> Refused {
    Refusal::new(Fault::NotFound, format!("there is no `{method} {}`", uri.path())).into()
}

pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let refusal = Refusal::new(Fault::Usage, format!("method {method} not allowed for {}", uri.path()));
    (StatusCode::METHOD_NOT_ALLOWED, Json(refusal)).into_response()
}
