{{ text }}
import { Pool } from "pg";

import { databasePassword, databaseSsl } from "../databricks/database-password";
