//! Orders that have come and wait for their turn.
//!
//! They are served in the order in which they came, with one exception: a running job must hear that it is cancelled,
//! though an order to load another model came first and has to wait until the job is done.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use encaustic_protocol::Command;

use crate::message::Order;

/// How many orders may wait. The engine takes commands in between its steps, so that only a page gone wild gets here.
pub const MOST_ORDERS: usize = 10_000;

/// The orders that wait, each with the file that came beside it, if one did.
#[derive(Debug)]
pub struct Inbox<F> {
    orders: VecDeque<(Order, Option<F>)>,
    waker: Option<Waker>,
}

impl<F> Default for Inbox<F> {
    fn default() -> Self {
        Self { orders: VecDeque::new(), waker: None }
    }
}

impl<F> Inbox<F> {
    /// Takes an order in and wakes whoever waits for one; `false` if too many wait already.
    pub fn push(&mut self, order: Order, file: Option<F>) -> bool {
        if self.orders.len() >= MOST_ORDERS {
            return false;
        }
        self.orders.push_back((order, file));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The next order, whatever it is.
    pub fn poll_order(&mut self, context: &mut Context<'_>) -> Poll<(Order, Option<F>)> {
        match self.orders.pop_front() {
            Some(order) => Poll::Ready(order),
            None => self.wait(context),
        }
    }

    /// The next command for the engine that is at work; `None` if something else comes first: another model, or a file to pack.
    pub fn poll_command(&mut self, context: &mut Context<'_>) -> Poll<Option<Command>> {
        match self.command() {
            Some(command) => Poll::Ready(Some(command)),
            None if self.orders.is_empty() => self.wait(context),
            None => Poll::Ready(None),
        }
    }

    /// A command for the engine that is at work, if one is there.
    pub fn command(&mut self) -> Option<Command> {
        let place = match self.orders.front()? {
            (Order::Command(_), _) => 0,
            _ => self.overtaker()?,
        };
        match self.orders.remove(place)? {
            (Order::Command(command), _) => Some(command),
            _ => None,
        }
    }

    /// Takes back the first order that loads or packs: what is stopped before it has begun.
    pub fn withdraw(&mut self) -> Option<Order> {
        let place = self.orders.iter().position(|(order, _)| matches!(order, Order::Load(_) | Order::Pack(_)))?;
        self.orders.remove(place).map(|(order, _)| order)
    }

    /// The place of a cancel whose job does not wait here itself: it can only mean one that the engine has.
    fn overtaker(&self) -> Option<usize> {
        let submitted = |id| {
            let is_it =
                |(order, _): &(Order, Option<F>)| matches!(order, Order::Command(Command::Submit(submit)) if submit.job == id);
            self.orders.iter().any(is_it)
        };
        self.orders.iter().position(|(order, _)| matches!(order, Order::Command(Command::Cancel(id)) if !submitted(*id)))
    }

    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Load, Pack, Source};
    use encaustic_protocol::{JobId, Request, Submit};

    fn submit(job: u64) -> Order {
        Order::Command(Command::Submit(Submit { job: JobId(job), request: Box::new(Request::default()) }))
    }

    fn cancel(job: u64) -> Order {
        Order::Command(Command::Cancel(JobId(job)))
    }

    fn load() -> Order {
        Order::Load(Load { from: Source::Address("b".into()), precision: None, residency: None })
    }

    fn filled(orders: impl IntoIterator<Item = Order>) -> Inbox<u8> {
        let mut inbox = Inbox::default();
        orders.into_iter().for_each(|order| assert!(inbox.push(order, None)));
        inbox
    }

    #[test]
    fn orders_keep_their_order() {
        let mut inbox = filled([submit(1), cancel(1), load(), submit(2)]);
        assert!(!inbox.is_empty());
        let mut context = Context::from_waker(Waker::noop());
        for expected in [submit(1), cancel(1), load(), submit(2)] {
            assert_eq!(inbox.poll_order(&mut context), Poll::Ready((expected, None)));
        }
        assert_eq!(inbox.poll_order(&mut context), Poll::Pending);
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_load_ends_the_engine_that_is_there() {
        let mut inbox = filled([submit(1), load(), submit(2)]);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Command::Submit(first))) = inbox.poll_command(&mut context) else { panic!("job 1 comes first") };
        assert_eq!(first.job, JobId(1));
        assert_eq!(inbox.poll_command(&mut context), Poll::Ready(None));
        assert_eq!(inbox.poll_order(&mut context), Poll::Ready((load(), None)));
    }

    #[test]
    fn only_a_cancel_of_an_earlier_job_overtakes_a_load() {
        let mut inbox = filled([load(), submit(2), cancel(2), cancel(1)]);
        assert_eq!(inbox.command(), Some(Command::Cancel(JobId(1))));
        assert_eq!(inbox.command(), None);
        let mut context = Context::from_waker(Waker::noop());
        for expected in [load(), submit(2), cancel(2)] {
            assert_eq!(inbox.poll_order(&mut context), Poll::Ready((expected, None)));
        }
    }

    #[test]
    fn a_page_gone_wild_is_told() {
        let mut inbox = filled((0..MOST_ORDERS as u64).map(cancel));
        assert!(!inbox.push(load(), None));
    }

    #[test]
    fn a_file_stays_with_its_order() {
        let pack = || Order::Pack(Pack { title: "t".into(), dtype: "f16".into() });
        let mut inbox = filled([submit(1)]);
        assert!(inbox.push(pack(), Some(7)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(inbox.poll_command(&mut context), Poll::Ready(Some(Command::Submit(_)))));
        assert_eq!(inbox.poll_command(&mut context), Poll::Ready(None));
        assert_eq!(inbox.poll_order(&mut context), Poll::Ready((pack(), Some(7))));
    }

    #[test]
    fn what_has_not_begun_can_be_taken_back() {
        let mut inbox = filled([submit(1), load(), submit(2), load()]);
        assert_eq!(inbox.withdraw(), Some(load()));
        let mut context = Context::from_waker(Waker::noop());
        for expected in [submit(1), submit(2), load()] {
            assert_eq!(inbox.poll_order(&mut context), Poll::Ready((expected, None)));
        }
        assert_eq!(inbox.withdraw(), None);
    }
}
