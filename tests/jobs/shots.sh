# Sixteen demonstrations.
promptshot classify test.jsonl --demos train.jsonl -k 16
promptshot classify test.jsonl --demos train.jsonl -k 0,4,16 --demo-seeds 5
promptshot compare test.jsonl -t en-sentiment-causal -k 0 -k 16 --demos train.jsonl
