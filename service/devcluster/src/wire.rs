//! A listener whose connections can be refused or cut while the server behind it lives on.
//!
//! Inputs: a bound TCP listener and a [`Wire`]. Outputs: connections for `axum::serve`. A connection that
//! was cut gives `ConnectionReset` to the server and a closed socket to the client.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    refuse: bool,
    cuts: u64,
}

/// The state of the line between clients and one server.
#[derive(Debug, Default)]
pub(crate) struct Wire(watch::Sender<Gate>);

impl Wire {
    /// While `refuse` holds, connections are closed as soon as they are accepted, and open ones are cut.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.0.send_modify(|gate| gate.refuse = refuse);
    }

    /// Cuts the connections that are open now.
    pub(crate) fn cut(&self) {
        self.0.send_modify(|gate| gate.cuts += 1);
    }

    fn refuses(&self) -> bool {
        self.0.borrow().refuse
    }
}

/// Accepts connections unless the wire refuses them.
pub(crate) struct GatedListener {
    listener: TcpListener,
    wire: Arc<Wire>,
}

impl GatedListener {
    pub(crate) fn new(listener: TcpListener, wire: Arc<Wire>) -> Self {
        Self { listener, wire }
    }
}

impl Listener for GatedListener {
    type Io = GatedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GatedStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) if !self.wire.refuses() => {
                    let _ = stream.set_nodelay(true);
                    return (GatedStream::new(stream, &self.wire), remote);
                }
                Ok(_closed_at_once) => {}
                // Out of file descriptors, mostly: others must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when the wire is cut.
pub(crate) struct GatedStream {
    stream: TcpStream,
    /// Resolves when this connection is to end; `None` once it has.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl GatedStream {
    fn new(stream: TcpStream, wire: &Wire) -> Self {
        let mut gate = wire.0.subscribe();
        let cuts = gate.borrow_and_update().cuts;
        let cut = async move {
            let _ = gate.wait_for(|gate| gate.refuse || gate.cuts != cuts).await;
        };
        Self { stream, cut: Some(Box::pin(cut)) }
    }

    fn is_cut(&mut self, context: &mut Context<'_>) -> bool {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(context).is_ready()) {
            self.cut = None;
        }
        self.cut.is_none()
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_cut(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The client's address, for handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, GatedListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, GatedListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
