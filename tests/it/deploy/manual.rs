//! The manual pages, the completions and the version.

use std::{
    fs,
    process::{Command, Output},
};

fn killgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_killgate")).args(arguments).env_clear().output().expect("the program runs")
}

#[test]
fn each_command_has_a_page_and_each_shell_its_completions() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("pages");
    let output = killgate(&["manual", to.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(killgate(&["--help"]).stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"serve") && !commands.contains(&"manual"), "{help}");
    for command in commands.iter().filter(|command| **command != "help") {
        let page = fs::read_to_string(to.join(format!("man/killgate-{command}.1"))).expect(command);
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let first = fs::read_to_string(to.join("man/killgate.1")).unwrap();
    assert!(first.contains("serve") && !first.contains("manual"), "{first}");
    for (file, word) in [("killgate.bash", "serve"), ("_killgate", "serve"), ("killgate.fish", "serve")] {
        let text = fs::read_to_string(to.join("completions").join(file)).expect(file);
        assert!(text.contains(word), "{text}");
    }
    // The same bytes again, for a package that is the same each time.
    let page = to.join("man/killgate-serve.1");
    let before = fs::read(&page).unwrap();
    assert!(killgate(&["manual", to.to_str().unwrap()]).status.success());
    assert_eq!(before, fs::read(&page).unwrap());
}

#[test]
fn the_version_is_one_line() {
    let told = String::from_utf8(killgate(&["--version"]).stdout).unwrap();
    let expected = format!("killgate {} (", env!("CARGO_PKG_VERSION"));
    assert!(told.starts_with(&expected) && told.ends_with(")\n") && told.lines().count() == 1, "{told}");
}
