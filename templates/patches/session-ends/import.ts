{{ text }}

import { endsSessions } from "../../databricks/session-ends";
