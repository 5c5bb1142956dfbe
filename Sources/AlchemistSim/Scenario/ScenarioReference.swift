extension ScenarioField {
    /// The reference of all fields in Markdown, with their defaults; docs/scenario.md is this text.
    public static var reference: String {
        let defaults = Scenario()
        var text = """
            # Scenario fields

            Every field of a scenario file, and of `--set field=value`. A file nests the parts of a name; `--set` joins them
            with dots. What is left out has its default. Amounts take units: `4GiB`, `25GB/s`, `10ms`.

            | field | default | meaning |
            |---|---|---|

            """
        for field in all {
            let meaning = field.meaning.split(separator: "|").joined(separator: "\\|")
            text += "| `\(field.path)` | `\(field.value(in: defaults))` | \(meaning) |\n"
        }
        text += """

            A file goes over the defaults, `--set`, `--seed` and `--repeats` over the file, and what an arm sets over them all.
            `model`, `backend`, `seed`, `repeats`, `threads` and `training.adapter` belong to the whole run.

            `model` is the name of a preset, or a path: a value with a `/`, or the name of a folder. Such a folder holds a
            checkpoint, and `training.adapter` adapters, as [checkpoints.md](checkpoints.md) describes. Paths are relative to
            where the program runs.

            `arms` is a list of the standard arms, or a mapping from a name to what that arm changes; an arm with a name of
            its own needs `arm`, the standard arm it starts from. `--arms` chooses among them:

            ```yaml
            arms:
              serve-only: {}
              recompute: {}
              kept-on-device: {arm: reuse, recording: {offload: none}}
            ```

            The standard arms:

            | arm | sets |
            |---|---|

            """
        for arm in ArmSpecification.standard {
            text +=
                "| `\(arm.name)` | " + arm.settings.map { "`\($0.path)=\($0.value)`" }.joined(separator: ", ") + " |\n"
        }
        return text
    }
}
