"""MDB/ICP cashless device through an ASCII bridge (Qibixx): chosen at the machine, paid by code."""
