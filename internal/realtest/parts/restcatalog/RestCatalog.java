import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/** Iceberg's own REST test fixture over a JdbcCatalog, on 127.0.0.1. Arguments: catalog.properties port. */
public class RestCatalog {
  public static void main(String[] args) throws Exception {
    Properties file = new Properties();
    try (var in = Files.newInputStream(Path.of(args[0]))) {
      file.load(in);
    }
    Map<String, String> properties = new HashMap<>();
    file.forEach((key, value) -> properties.put((String) key, (String) value));

    JdbcCatalog catalog = new JdbcCatalog();
    catalog.initialize("backend", properties);

    ServletContextHandler handler = new ServletContextHandler();
    handler.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])));
    server.setHandler(handler);
    server.start();
    System.out.println("listening on port " + ((ServerConnector) server.getConnectors()[0]).getLocalPort());
    server.join();
  }
}
