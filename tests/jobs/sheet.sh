# A spreadsheet saved as text, with Chinese headings, and back into one.
promptshot classify sheet.tsv --text-field 标题,正文 -o sheet.done.csv --fields 编号,类别,prediction,probability
