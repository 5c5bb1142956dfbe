"""Makes token ids of texts with a Hugging Face tokenizer.json: `alchemist-sim trace import --tokenizer` runs it.

Standard input holds batches: a line with the number of texts, then each text as a JSON string on a line. Standard output
gets one line for each text, a JSON array of ids. A batch is read whole before it is answered. Special tokens are not added:
prompts of later turns begin with earlier ones.
"""
import json
import sys

from tokenizers import Tokenizer


def main():
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    while header := sys.stdin.readline():
        texts = [json.loads(sys.stdin.readline()) for _ in range(int(header))]
        for encoding in tokenizer.encode_batch(texts, add_special_tokens=False):
            sys.stdout.write(json.dumps(encoding.ids) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
