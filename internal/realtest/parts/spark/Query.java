import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.spark.sql.SparkSession;

/**
 * Runs queries whose columns are whole numbers and writes a line of JSON for each: a list of rows.
 * Arguments: spark.properties, the file for the answer, queries.
 */
public class Query {
  public static void main(String[] args) throws Exception {
    Properties file = new Properties();
    try (var in = Files.newInputStream(Path.of(args[0]))) {
      file.load(in);
    }
    SparkSession.Builder builder = SparkSession.builder();
    file.forEach((key, value) -> builder.config((String) key, (String) value));
    List<String> lines = new ArrayList<>();
    try (SparkSession spark = builder.getOrCreate()) {
      for (String query : List.of(args).subList(2, args.length)) {
        lines.add(spark.sql(query).collectAsList().stream()
            .map(row -> row.mkString("[", ",", "]"))
            .collect(Collectors.joining(",", "[", "]")));
      }
    }
    Files.write(Path.of(args[1]), lines);
  }
}
