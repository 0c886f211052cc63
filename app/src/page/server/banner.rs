//! That the server is not there, said quietly: what was asked for is kept, and the rest comes by itself.

use leptos::prelude::*;
use phosphor_leptos::PLUGS;

use super::{Link, Server};
use crate::page::widgets::{Button, ButtonSize, Glyph};

/// The banner; nothing while the server is there.
#[component]
pub fn Banner(
    /// The server.
    server: Server,
) -> impl IntoView {
    let is_lost = Memo::new(move |_| server.link.get() == Link::Lost);
    view! {
        <div class="link-banner" role="status" hidden=move || !is_lost.get()>
            {move || {
                is_lost
                    .get()
                    .then(|| {
                        view! {
                            <Glyph icon=PLUGS />
                            <p>"The server does not answer. What you asked for is kept, and goes on when it is there again."</p>
                            <Button size=ButtonSize::Small on_press=move || server.try_now()>"Try now"</Button>
                        }
                    })
            }}
        </div>
    }
}
