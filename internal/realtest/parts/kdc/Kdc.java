import java.io.File;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.CountDownLatch;
import org.apache.kerby.kerberos.kerb.client.KrbClient;
import org.apache.kerby.kerberos.kerb.server.SimpleKdcServer;

/**
 * A KDC on 127.0.0.1, by TCP, that knows some principals. Arguments: directory realm principal... In
 * the directory it makes krb5.conf and for each, with / as -, PRINCIPAL.keytab, PRINCIPAL.old.keytab
 * of a key that it had before, and PRINCIPAL.ccache.
 */
public class Kdc {
  public static void main(String[] args) throws Exception {
    File dir = new File(args[0]);
    String realm = args[1];
    int port;
    try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
      port = free.getLocalPort();
    }
    SimpleKdcServer kdc = new SimpleKdcServer();
    kdc.setWorkDir(dir);
    kdc.setKdcHost("127.0.0.1");
    kdc.setKdcRealm(realm);
    kdc.setKdcTcpPort(port);
    kdc.setAllowUdp(false);
    kdc.init();
    kdc.start();
    for (int i = 2; i < args.length; i++) {
      File base = new File(dir, args[i].replace('/', '-'));
      String principal = args[i] + "@" + realm;
      File keytab = new File(base + ".keytab");
      kdc.createPrincipal(principal);
      kdc.exportPrincipal(principal, new File(base + ".old.keytab"));
      kdc.deletePrincipal(principal);
      kdc.createPrincipal(principal);
      kdc.exportPrincipal(principal, keytab);
      KrbClient client = kdc.getKrbClient();
      client.storeTicket(client.requestTgt(principal, keytab), new File(base + ".ccache"));
    }
    System.out.println("listening on port " + port);
    new CountDownLatch(1).await();
  }
}
