//! What was found in layers that lie one over the other, the lowest ones of many images: they are not read again.

use std::collections::VecDeque;

use sbom::Found;

const STACKS_MAX: usize = 64;
/// In all of them, about as many packages: some ten MiB.
const SIZE_MAX: usize = 50_000;

/// Those that were used last stand last.
#[derive(Debug, Default)]
pub(super) struct Known {
    stacks: VecDeque<(Vec<String>, Found)>,
}

impl Known {
    /// How many of these layers are known, from the lowest on, and what was found in them.
    pub(super) fn of(&mut self, layers: &[String]) -> (usize, Found) {
        let fitting = self.stacks.iter().enumerate().filter(|(_, (stack, _))| layers.starts_with(stack));
        let longest = fitting.max_by_key(|(_, (stack, _))| stack.len()).map(|(at, _)| at);
        let Some(stack) = longest.and_then(|at| self.stacks.remove(at)) else {
            return (0, Found::default());
        };
        let known = (stack.0.len(), stack.1.clone());
        self.stacks.push_back(stack);
        known
    }

    pub(super) fn keep(&mut self, layers: &[String], found: &Found) {
        self.stacks.retain(|(stack, _)| stack != layers);
        self.stacks.push_back((layers.to_vec(), found.clone()));
        let mut size: usize = self.stacks.iter().map(|(_, found)| found.size()).sum();
        while self.stacks.len() > STACKS_MAX || size > SIZE_MAX {
            let Some((_, gone)) = self.stacks.pop_front() else { break };
            size -= gone.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &str) -> Vec<String> {
        names.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_longest_stack_below_is_taken() {
        let mut known = Known::default();
        assert_eq!(known.of(&stack("a b")).0, 0);
        for layers in ["a", "a b", "a b c", "x a b d"] {
            known.keep(&stack(layers), &Found::default());
        }
        for (layers, expected) in [("a b d", 2), ("a b c", 3), ("a b c d", 3), ("b", 0), ("a", 1), ("x a", 0)]
        {
            assert_eq!(known.of(&stack(layers)).0, expected, "{layers}");
        }
    }

    #[test]
    fn what_was_not_used_for_long_is_forgotten() {
        let mut known = Known::default();
        known.keep(&stack("a"), &Found::default());
        known.keep(&stack("b"), &Found::default());
        for number in 0..STACKS_MAX - 1 {
            known.of(&stack("a"));
            known.keep(&stack(&format!("n{number}")), &Found::default());
        }
        assert_eq!((known.of(&stack("a")).0, known.of(&stack("b")).0), (1, 0));
        assert_eq!(known.stacks.len(), STACKS_MAX);
    }
}
