//! Addresses of blobs, which last for as long as somebody holds them.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Reflect};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, HtmlAnchorElement, IntersectionObserver, Url};

use super::Gallery;

/// An address of a blob; the browser can forget the blob when this is gone.
#[derive(Debug)]
pub struct Held(String);

impl Held {
    /// An address for a blob.
    pub fn new(blob: &Blob) -> Option<Self> {
        Url::create_object_url_with_blob(blob).ok().map(Self)
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It fails for what is no address, and this is one.
        let _ = Url::revoke_object_url(&self.0);
    }
}

/// Hands a file to the user under a name.
pub fn save(blob: &Blob, name: &str) {
    let Some(held) = Held::new(blob) else { return };
    follow(held.address(), name);
    // The download begins after this; long enough for the slowest browser.
    set_timeout(move || drop(held), std::time::Duration::from_secs(60));
}

/// Has the browser save what lies at an address.
pub fn follow(address: &str, name: &str) {
    let link = document().create_element("a").ok().and_then(|element| element.dyn_into::<HtmlAnchorElement>().ok());
    let Some(link) = link else { return };
    link.set_href(address);
    link.set_download(name);
    link.click();
}

/// The small image of a picture. It is fetched when it comes near to where it can be seen, and given back when it is far away.
#[component]
pub fn Small(
    /// Which picture.
    id: u64,
    /// What it shows.
    #[prop(into)]
    alt: String,
) -> impl IntoView {
    let gallery = Gallery::here();
    if let Some(address) = gallery.small_address(id) {
        return view! {
            <span class="small-image">
                <img src=address alt=alt loading="lazy" decoding="async" draggable="false" />
            </span>
        }
        .into_any();
    }
    let frame = NodeRef::<html::Span>::new();
    let near = RwSignal::new(false);
    let held = RwSignal::new_local(None::<Rc<Held>>);
    let watch = StoredValue::new_local(None::<Watch>);
    Effect::new(move |_| {
        if let Some(frame) = frame.get() {
            watch.set_value(Watch::start(&frame, move |is_near| near.set(is_near)));
            // Where the browser cannot tell, everything is near.
            if watch.with_value(Option::is_none) {
                near.set(true);
            }
        }
    });
    Effect::new(move |_| {
        if !near.get() {
            held.set(None);
            return;
        }
        spawn_local(async move {
            let found = gallery.small(id).await.ok().and_then(|blob| Held::new(&blob)).map(Rc::new);
            // The card may be gone by now.
            if near.try_get_untracked() == Some(true) {
                let _ = held.try_set(found);
            }
        });
    });
    let words = alt.clone();
    let image = move || {
        held.get()
            .map(|held| view! { <img src=held.address().to_owned() alt=words.clone() decoding="async" draggable="false" /> })
    };
    // A button around it has a name before the picture is there, too.
    let is_empty = move || held.with(Option::is_none);
    let role = move || is_empty().then_some("img");
    let label = move || is_empty().then(|| alt.clone());
    view! { <span class="small-image" node_ref=frame role=role aria-label=label>{image}</span> }.into_any()
}

/// Told when an element comes near to what can be seen, and when it goes.
struct Watch {
    observer: IntersectionObserver,
    _ear: Closure<dyn FnMut(Array)>,
}

impl Watch {
    /// How far beyond the window is near.
    const MARGIN: &str = "600px";

    fn start(element: &web_sys::Element, told: impl Fn(bool) + 'static) -> Option<Self> {
        let last = RefCell::new(false);
        let ear = Closure::<dyn FnMut(Array)>::new(move |entries: Array| {
            let entry = entries.get(entries.length().saturating_sub(1));
            let is_near = Reflect::get(&entry, &"isIntersecting".into()).is_ok_and(|value| value.is_truthy());
            if last.replace(is_near) != is_near {
                told(is_near);
            }
        });
        let options = Object::new();
        Reflect::set(&options, &"rootMargin".into(), &Self::MARGIN.into()).ok()?;
        let class: Function = Reflect::get(&js_sys::global(), &"IntersectionObserver".into()).ok()?.dyn_into().ok()?;
        let made = Reflect::construct(&class, &Array::of2(ear.as_ref(), &options)).ok()?;
        let observer: IntersectionObserver = made.unchecked_into();
        observer.observe(element);
        Some(Self { observer, _ear: ear })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.observer.disconnect();
    }
}
