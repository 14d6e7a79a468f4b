//! What all pool loops together want to know of Consul.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_pools::Query;

use crate::publish::replace;

/// Publishes the union of `always` and what each loop reads, until cancelled.
pub(crate) async fn unite(
    always: BTreeSet<Query>,
    mut reads: Vec<watch::Receiver<Arc<BTreeSet<Query>>>>,
    wanted: watch::Sender<BTreeSet<Query>>,
    cancel: CancellationToken,
) {
    loop {
        let parts: Vec<_> = reads.iter_mut().map(|reads| reads.borrow_and_update().clone()).collect();
        let read = parts.iter().flat_map(|part| part.iter().cloned());
        let union: BTreeSet<Query> = read.chain(always.iter().cloned()).collect();
        wanted.send_if_modified(|before| replace(before, union));
        let changes = reads.iter_mut().map(|reads| Box::pin(reads.changed()));
        tokio::select! {
            () = cancel.cancelled() => return,
            (changed, _, _) = select_all(changes) => if changed.is_err() { return },
        }
    }
}
