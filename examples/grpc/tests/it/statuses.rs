use tenantry::tenant::Suspension;
use time::{Duration, OffsetDateTime};
use tonic::{Code, Request};

use crate::support::{note, titles, with_bypass, world};

#[tokio::test]
async fn who_gets_no_further_gets_a_status() {
    let world = world().await;
    for (authority, code, message) in [
        ("acme.example.com", Code::Ok, ""),
        ("ACME.example.com:50051", Code::Ok, ""),
        ("nobody.example.com", Code::NotFound, "There is no account at this address."),
        ("example.com", Code::NotFound, "There is no account at this address."),
        ("elsewhere.net", Code::NotFound, "There is no account at this address."),
        ("acme..example.com", Code::InvalidArgument, "The address of this request is not valid."),
    ] {
        let mut client = world.client(authority).await;
        let status = titles(&mut client).await.err().unwrap_or(tonic::Status::ok(""));
        assert_eq!((status.code(), status.message()), (code, message), "{authority}");
    }
    // Another host in the metadata contradicts the authority.
    let mut request = Request::new(note("whose?"));
    request.metadata_mut().insert("host", "globex.example.com".parse().unwrap());
    let status = world.client("acme.example.com").await.add(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_suspended_tenant_is_a_failed_precondition_with_its_message() {
    let world = world().await;
    let acme = world.tenancy.tenant("acme").await.unwrap();
    let in_an_hour = OffsetDateTime::now_utc() + Duration::HOUR;
    let terms = Suspension::new().saying("Please <pay>").until(in_an_hour);
    let acme = world.tenancy.suspend(&acme, terms).await.unwrap();
    let mut client = world.client("acme.example.com").await;
    let status = titles(&mut client).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "Please <pay>"));
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_none(), "trying again does not help");

    let bypass = world.key.sign(acme.id(), in_an_hour);
    assert!(client.list(with_bypass(&bypass)).await.is_ok());

    // A tenant that may be read answers so to what would write.
    let read_only = Suspension::new().read_only();
    world.tenancy.suspend(&acme, read_only).await.unwrap();
    assert!(titles(&mut client).await.is_ok());
    let status = client.add(Request::new(note("no"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "This account can only be read at the moment.");
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable_with_a_time_to_come_back() {
    let world = world().await;
    world.tenancy.close(std::time::Duration::from_secs(5)).await.unwrap();
    let status = titles(&mut world.client("acme.example.com").await).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1000");
}
