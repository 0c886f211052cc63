//! A device's place in the server: what it is, does and holds, for whoever asks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use encaustic_protocol::JobId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::host::{Device, Memory};
use crate::sync::lock;

/// A device's place.
#[derive(Debug)]
pub struct Desk {
    standing: Mutex<Standing>,
    unload: AtomicBool,
}

/// How it stands with a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// The worker's name: its device's, with a number behind it if several share it.
    pub name: String,
    /// The device, once it is open.
    pub device: Option<Device>,
    /// What it does.
    #[serde(flatten)]
    pub doing: Doing,
    /// The model that it holds.
    pub model: Option<String>,
    /// What its memory holds.
    pub memory: Memory,
}

/// What a device does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "doing", rename_all = "snake_case")]
pub enum Doing {
    /// It is being opened.
    Opening,
    /// It waits for a job.
    Idle,
    /// It loads the model for a job.
    Loading {
        /// Which.
        #[schema(value_type = u64)]
        job: JobId,
    },
    /// It draws.
    Drawing {
        /// Which job.
        #[schema(value_type = u64)]
        job: JobId,
    },
    /// It does not answer, and is tried again.
    Broken {
        /// Why.
        problem: String,
    },
    /// The server is about to end.
    Gone,
}

impl Desk {
    pub(super) fn new(name: String) -> Self {
        let standing = Standing { name, device: None, doing: Doing::Opening, model: None, memory: Memory::default() };
        Self { standing: Mutex::new(standing), unload: AtomicBool::new(false) }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    pub(super) fn set(&self, doing: Doing) {
        lock(&self.standing).doing = doing;
    }

    /// It does not come back from this job. One that has, meanwhile, is left alone.
    pub(super) fn hang(&self, hung: JobId, problem: String) {
        let mut standing = lock(&self.standing);
        if matches!(standing.doing, Doing::Loading { job } | Doing::Drawing { job } if job == hung) {
            standing.doing = Doing::Broken { problem };
        }
    }

    pub(super) fn set_memory(&self, memory: Memory) {
        lock(&self.standing).memory = memory;
    }

    pub(super) fn set_model(&self, model: Option<String>) {
        lock(&self.standing).model = model;
    }

    /// It is open. A device that another name led to keeps the number of its place.
    pub(super) fn opened(&self, device: Device) {
        let mut standing = lock(&self.standing);
        let number = standing.name.split_once('#').map(|(_, number)| format!("#{number}"));
        standing.name = format!("{}{}", device.name, number.unwrap_or_default());
        standing.device = Some(device);
        standing.doing = Doing::Idle;
        standing.model = None;
    }

    pub(super) fn ask_to_unload(&self) {
        self.unload.store(true, Ordering::SeqCst);
    }

    /// Whether somebody has asked, since this was asked last.
    pub(super) fn is_to_unload(&self) -> bool {
        self.unload.swap(false, Ordering::SeqCst)
    }
}
