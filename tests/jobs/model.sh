# A model of one's own, in a folder, on a file with a text a line.
promptshot doctor -m ./my-model
promptshot classify remarks.txt -m ./my-model --labels "good=good|nice,bad=bad|poor" -o remarks.tsv --no-scores
echo "The lid does not close." | promptshot classify - -m ./my-model --labels good,bad
