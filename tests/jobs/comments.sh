# Chinese comments whose labels are 0, 1 and 2.
promptshot classify comments.jsonl --labels "0:negative,1:neutral,2:positive" -o judged.jsonl
promptshot report judged.jsonl
