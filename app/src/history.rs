//! Prompts that were used, newest first, each once.

use serde::{Deserialize, Serialize};

/// How many are remembered.
pub const MOST: usize = 200;

/// A prompt that was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Used {
    /// What the picture showed.
    pub prompt: String,
    /// What it should not show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub negative: String,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Used>);

impl History {
    /// Puts a prompt first. The same words again only move up, with the negative prompt that they have now.
    pub fn add(&mut self, prompt: &str, negative: &str) {
        let used = Used { prompt: prompt.trim().to_owned(), negative: negative.trim().to_owned() };
        if used.prompt.is_empty() {
            return;
        }
        self.0.retain(|known| known.prompt != used.prompt);
        self.0.insert(0, used);
        self.0.truncate(MOST);
    }

    /// Forgets one.
    pub fn remove(&mut self, prompt: &str) {
        self.0.retain(|known| known.prompt != prompt);
    }

    /// Those that hold all words of `text`, newest first.
    pub fn find(&self, text: &str) -> Vec<Used> {
        let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
        let holds = |used: &&Used| {
            let prompt = used.prompt.to_lowercase();
            words.iter().all(|word| prompt.contains(word))
        };
        self.0.iter().filter(holds).cloned().collect()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_prompt_is_there_once_newest_first() {
        let mut history = History::default();
        for prompt in ["a fox", "a lake", " a fox ", "", "  "] {
            history.add(prompt, "blurry");
        }
        let prompts: Vec<_> = history.find("").into_iter().map(|used| used.prompt).collect();
        assert_eq!(prompts, ["a fox", "a lake"]);
        history.add("a lake", "");
        assert_eq!(history.find("LAKE a")[0], Used { prompt: "a lake".into(), negative: String::new() });
        assert_eq!(history.find("lake fox"), []);
        history.remove("a lake");
        assert_eq!(history.len(), 1);
        for number in 0..MOST + 10 {
            history.add(&number.to_string(), "");
        }
        assert_eq!((history.len(), history.find("fox").len()), (MOST, 0));
    }

    #[test]
    fn it_travels_as_a_plain_list() {
        let text = r#"[{"prompt":"b","negative":"c"},{"prompt":"a"}]"#;
        let history: History = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&history).unwrap(), text);
    }
}
