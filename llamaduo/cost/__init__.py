"""What a migration and its two sides cost: bills, the model behind the decision, and its command.

`bill.py` has what calls cost, `terms.py` the records that a decision is made from, `model.py` the
arithmetic, `decision.py` its results with bands and sensitivity, `table2.py` the paper's Table 2,
`from_run.py` what a finished migration knows, `energy.py` the meters. `python -m llamaduo.cost` is
`command.py`. Only the bills are imported with the package: they are needed everywhere.
"""

from llamaduo.cost.bill import Bill, Price

__all__ = ["Bill", "Price"]
