{{ text }}

import { childVariable } from "../../databricks/child-environment";
