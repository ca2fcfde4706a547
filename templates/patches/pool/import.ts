{{ text }}

import { databasePassword, databaseSsl } from "../databricks/database-password";
