#!/usr/bin/env python3
"""Runs the Python examples of documentation, each in a process of its own, in the present folder.

    run_examples.py docs/python.md ...

Every block that a line ```python opens is run as it stands; one that fails ends the check with 1.
"""
import re
import subprocess
import sys


def main():
    failed = 0
    for path in sys.argv[1:]:
        text = open(path).read()
        blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S))
        if not blocks:
            raise SystemExit(f"run_examples: {path} has no examples")
        for block in blocks:
            line = text[:block.start()].count("\n") + 2
            done = subprocess.run([sys.executable, "-"], input=block[1], text=True, capture_output=True)
            print(f"{path}:{line}: {'failed' if done.returncode else 'done'}")
            sys.stdout.write(done.stdout)
            if done.returncode:
                sys.stderr.write(done.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
