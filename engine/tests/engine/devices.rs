//! Devices: what is named, what is there, what opens.

use crate::common::device::VARIABLE;
use burn::tensor::Tensor;
use encaustic_engine::device::{Api, DeviceError, DeviceKind, DeviceName, Precision, enumerate, open};
use futures_lite::future::block_on;

/// The name of the device that this run of the tests is for.
fn under_test() -> DeviceName {
    std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()).map_or(DeviceName::Cpu, |name| name.parse().unwrap())
}

#[test]
fn the_list_has_the_processor_and_what_is_under_test() {
    let found = block_on(enumerate());
    assert!(found.iter().any(|info| info.name == DeviceName::Cpu && info.kind == DeviceKind::Cpu && !info.f16));
    let prefix = under_test().to_string();
    assert!(found.iter().any(|info| info.name.to_string().starts_with(&prefix)), "{found:?}");
    let kinds: Vec<_> = found.iter().map(|info| info.kind).collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    for info in &found {
        println!("{info:?}");
        assert!(!info.label.is_empty());
        assert_eq!(info.name.to_string().parse::<DeviceName>().unwrap(), info.name);
    }
}

#[test]
fn the_device_under_test_opens_and_computes() {
    let compute = block_on(open(under_test(), Some(Precision::F32))).unwrap();
    assert_eq!(compute.precision, Precision::F32);
    let sum = Tensor::<1>::from_floats([1.0, 2.0], &compute.device).sum();
    assert_eq!(sum.into_scalar::<f32>(), 3.0);
    // Burn opens a device once for the whole process; asking again gives the same.
    let again = block_on(open(compute.info.name, None)).unwrap();
    assert_eq!(again.info, compute.info);
    assert_eq!(again.device, compute.device);
}

#[test]
fn auto_says_what_it_took() {
    let compute = block_on(open(DeviceName::Auto, None)).unwrap();
    assert!(block_on(enumerate()).contains(&compute.info));
    assert_ne!(compute.info.kind, DeviceKind::Software, "the processor itself is better than its imitation of a GPU");
}

#[test]
fn an_absent_device_is_an_error_that_names_what_is_present() {
    let missing = |api| DeviceName::Gpu { api, index: Some(99) };
    for name in Api::ALL.map(missing) {
        let error = block_on(open(name, None)).unwrap_err();
        assert!(matches!(error, DeviceError::Absent { .. } | DeviceError::NotBuiltIn { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(&name.to_string()) && message.contains("present: ") && message.contains("cpu"), "{message}");
    }
}

#[test]
fn f16_is_refused_where_it_does_not_help() {
    let error = block_on(open(DeviceName::Cpu, Some(Precision::F16))).unwrap_err();
    assert!(matches!(error, DeviceError::NoF16 { .. }), "{error}");
    assert!(error.to_string().contains("use f32"), "{error}");
}

#[test]
fn precisions_are_read_by_name() {
    assert_eq!("F16".parse(), Ok(Precision::F16));
    assert!("bf16".parse::<Precision>().unwrap_err().to_string().contains("use f32 or f16"));
}
