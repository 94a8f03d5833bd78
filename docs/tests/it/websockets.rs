use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use tenantry::TenantDb;

async fn connect(upgrade: WebSocketUpgrade, db: TenantDb) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        if let Err(error) = converse(&mut socket, &db).await {
            tracing::warn!(%error, tenant = %db.tenant().slug(), "Closed a socket");
        }
    })
}

/// Adds a note for each message, and answers with the number of notes.
async fn converse(socket: &mut WebSocket, db: &TenantDb) -> tenantry::Result<()> {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Text(title) = message else { continue };
        sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(title.as_str()).execute(db).await?;
        let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(db).await?;
        if socket.send(Message::text(notes.to_string())).await.is_err() {
            break;
        }
    }
    Ok(())
}

use axum::Router;
use axum::routing::any;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};

use crate::support::{World, titles, world};

async fn serve(world: &World) -> TcpListenerAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/socket", any(connect)).layer(world.tenancy.layer());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

type TcpListenerAddress = std::net::SocketAddr;

async fn dial(
    address: TcpListenerAddress,
    host: &str,
) -> Result<WebSocketStream<TcpStream>, tungstenite::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!("ws://{host}/socket").into_client_request().unwrap();
    Ok(client_async(request, stream).await?.0)
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) -> Option<String> {
    socket.send(text.into()).await.ok()?;
    Some(socket.next().await?.ok()?.into_text().ok()?.to_string()).filter(|text| !text.is_empty())
}

#[tokio::test]
async fn a_socket_writes_into_the_tables_of_its_tenant_until_that_is_suspended() {
    let world = world().await;
    let address = serve(&world).await;
    let mut socket = dial(address, "acme.example.com").await.unwrap();
    assert_eq!(say(&mut socket, "one").await.as_deref(), Some("1"));
    assert_eq!(say(&mut socket, "two").await.as_deref(), Some("2"));
    assert_eq!(titles(&world.acme()).await, ["one", "two"]);
    assert_eq!(titles(&world.globex()).await, [""; 0]);

    world.suspend_acme().await;
    assert_eq!(say(&mut socket, "three").await, None);
    let refused = dial(address, "nobody.example.com").await.unwrap_err();
    assert!(matches!(refused, tungstenite::Error::Http(response) if response.status() == 404));
}
