//! The macro that makes a crate a component.

/// Exports an engine from the crate, which must be a `cdylib`: `export!(Mine);`, or
/// `export!(Mine, assess);` for one that implements [`crate::Assess`] too. Once in a crate.
///
/// On every target but WebAssembly it only checks that the traits are there, so that the crate's
/// tests run natively.
#[macro_export]
macro_rules! export {
    ($engine:ty) => {
        const _: () = {
            const fn is_engine<E: $crate::Engine>() {}
            is_engine::<$engine>();
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::__Exported<$engine>;
    $crate::__bindings::export_engine!(Component with_types_in $crate::__bindings);
        };
    };
    ($engine:ty, assess) => {
        $crate::export!($engine);
        const _: () = {
            const fn assesses<E: $crate::Assess>() {}
            assesses::<$engine>();
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::__Exported<$engine>;
            $crate::__bindings::assessor::export_assessor!(
                Component with_types_in $crate::__bindings::assessor
            );
        };
    };
}
