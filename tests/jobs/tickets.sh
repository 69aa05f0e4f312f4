# Support tickets in a CSV: the text is in two columns, the labels are spelled in several ways.
promptshot classify tickets.csv --text-field subject,message --label-field category
promptshot compare tickets.csv --text-field subject,message --label-field category
promptshot classify tickets.csv --text-field subject,message --label-field category -o sorted.csv
