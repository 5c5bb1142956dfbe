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
            `--set arms.NAME.field=value` is that arm's own; a `--set` of a field that every arm sets itself is refused, for it
            would change nothing. Amounts of memory below 4096 need a unit.
            `model`, `backend`, `seed`, `repeats`, `threads`, `training.adapter` and all of `hardware`, `content` and `metrics`
            belong to the whole run.

            `model` is a name that `alchemist-sim models` lists, or a path: a value with a `/`, the name of a folder, or a file
            that ends in `.json` or `.yaml`. Such a folder holds a checkpoint, and `training.adapter` adapters, as
            [checkpoints.md](checkpoints.md) describes; a `config.json` or a file in YAML gives the sizes alone. `backend` is
            `measured`, a name that `alchemist-sim hardware` lists, or a path. Paths are relative to where the program runs.

            An accelerator brings its own defaults of `device`: memory, host memory and link of what `hardware.tensor_parallel`
            says, and a `memory_utilization` of 0.9 ([hardware.md](hardware.md)).

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
        for arm in ArmSpecification.known {
            text +=
                "| `\(arm.name)` | " + arm.settings.map { "`\($0.path)=\($0.value)`" }.joined(separator: ", ") + " |\n"
        }
        return text
    }
}
