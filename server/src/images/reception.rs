//! Who may send pictures at the same time: a few in all, as each takes memory, and fewer of one client, so that nobody who sends
//! slowly, with purpose or not, keeps others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::job::Client;
use crate::sync::lock;

/// How many pictures are received or wait to be decoded at a time.
const ALL: usize = 8;
/// How many of them one client may be sending.
const OF_ONE: usize = 2;

/// The places of those who send.
#[derive(Debug)]
pub(super) struct Receptions {
    places: Arc<Semaphore>,
    /// Of the clients who send now, or wait to.
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
}

/// Leave to send a picture.
#[derive(Debug)]
pub struct Reception {
    place: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for Receptions {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(ALL)), clients: Mutex::default() }
    }
}

impl Receptions {
    /// Waits for a place. Who has his own share in use waits without one that another could have.
    pub(super) async fn enter(&self, client: &Client) -> Option<Reception> {
        // They are never closed.
        let own = self.of(client).acquire_owned().await.ok()?;
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Reception { place, _own: own })
    }

    /// A client's own places.
    fn of(&self, client: &Client) -> Arc<Semaphore> {
        let mut clients = lock(&self.clients);
        if let Some(own) = clients.get(client).and_then(Weak::upgrade) {
            return own;
        }
        clients.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(OF_ONE));
        clients.insert(client.clone(), Arc::downgrade(&own));
        own
    }
}

impl Reception {
    /// All of it is here: the client may send another. What comes back is kept as long as the picture's file is.
    pub fn arrived(self) -> OwnedSemaphorePermit {
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_takes_all_places() {
        let receptions = Receptions::default();
        let client = |name: &str| Client(name.to_owned());
        let enter = async |name: &str| {
            let client = client(name);
            tokio::time::timeout(std::time::Duration::from_millis(10), receptions.enter(&client)).await.ok().flatten()
        };
        let (first, second) = (enter("a").await.unwrap(), enter("a").await.unwrap());
        assert!(enter("a").await.is_none(), "he has his two");
        let others = [enter("b").await, enter("b").await, enter("c").await, enter("c").await];
        assert!(others.iter().all(Option::is_some));
        // What has arrived counts in all, and no longer for him.
        let file = first.arrived();
        let third = enter("a").await.unwrap();
        let last = enter("d").await.unwrap();
        assert!(enter("e").await.is_none(), "there are eight in all");
        drop(file);
        assert!(enter("e").await.is_some());
        drop((second, third, last, others));
        assert!(enter("f").await.is_some());
        assert_eq!(receptions.clients.lock().unwrap().len(), 1, "nobody is remembered who sends nothing");
    }
}
