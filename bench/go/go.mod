module runnelbench

go 1.23
