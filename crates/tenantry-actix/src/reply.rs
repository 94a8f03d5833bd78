//! A response of `http` 1 as one of actix-web.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;

pub(crate) fn reply(response: http::Response<String>) -> HttpResponse<BoxBody> {
    let (head, body) = response.into_parts();
    let mut builder = HttpResponse::build(status(head.status));
    for (name, value) in &head.headers {
        builder.append_header((name.as_str(), value.as_bytes()));
    }
    builder.body(body)
}

pub(crate) fn status(status: http::StatusCode) -> StatusCode {
    // Both take the numbers from 100 to 999.
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
