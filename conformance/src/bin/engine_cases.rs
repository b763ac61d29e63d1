//! Runs the engine on every case, for machines that are emulated: only this program is built for them.

fn main() {
    for set in conformance::engine::compare_with_the_interpreter() {
        println!("{set}: every output of every case equals the golden interpreter's");
    }
}
