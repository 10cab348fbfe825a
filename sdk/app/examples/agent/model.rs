//! A fake language model without state: the next step follows from the prompt and the steps so far, as with a real model
//! that gets the whole transcript.

/// One step of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next piece of text.
    Token(String),
    /// A tool call that a person must approve.
    Call { tool: &'static str, input: String },
    /// The answer is complete.
    Done,
}

/// Largest number that the model counts to.
const MAX_COUNT: u64 = 1000;

/// Returns step number `taken` of the answer. `verdict` is the decision about the tool call, once there is one.
///
/// A prompt that ends with a number makes the model count, one with `delete` makes a tool call, and the words of any other
/// prompt are repeated.
pub(crate) fn next_step(prompt: &str, taken: u64, verdict: Option<bool>) -> Step {
    let words: Vec<&str> = prompt.split_whitespace().collect();
    let last = words.last().copied().unwrap_or_default();
    if let Some(count) = last.parse().ok().filter(|count| *count <= MAX_COUNT) {
        return if taken < count { Step::Token(format!("{} ", taken + 1)) } else { Step::Done };
    }
    if words.contains(&"delete") {
        return match (taken, verdict) {
            (0, _) => Step::Token(String::from("This needs your approval. ")),
            (1, _) => Step::Call { tool: "delete", input: last.to_owned() },
            (2, Some(true)) => Step::Token(format!("Deleted {last}.")),
            (2, _) => Step::Token(format!("Kept {last}.")),
            _ => Step::Done,
        };
    }
    let index = usize::try_from(taken).unwrap_or(usize::MAX);
    words.get(index).map_or(Step::Done, |word| Step::Token(format!("{word} ")))
}
