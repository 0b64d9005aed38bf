//! `docs/getting-started.md` has only commands that the demo in a cluster runs, too.

use super::read;
use crate::demo;

/// Commands that set up what the demo starts with, which it does by the same code.
const BEFORE: [&str; 1] = ["make images"];

/// The commands in a page's blocks of `sh`, each in one line.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let joined = blocks.map(|block| block.replace("\\\n", " "));
    let lines = joined.flat_map(|block| block.lines().map(one_line).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn getting_started_has_the_commands_of_the_demo() {
    let steps: Vec<_> = demo::cluster_commands()
        .flat_map(|command| command.split(" && "))
        .map(one_line)
        .collect();
    let page = commands(&read("docs/getting-started.md"));
    assert!(page.len() > 8, "{page:?}");
    for command in page {
        let is_run = steps.contains(&command) || BEFORE.contains(&command.as_str());
        assert!(
            is_run,
            "the demo doesn't run `{command}`; it runs {steps:#?}"
        );
    }
}

#[test]
fn a_command_may_go_on_in_the_next_line() {
    let page = "a\n```sh\nmake x\nkubectl \\\n  get y\n```\nb\n```console\nc\n```\n";
    assert_eq!(commands(page), ["make x", "kubectl get y"]);
}
