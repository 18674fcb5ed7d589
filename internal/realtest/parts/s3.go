//go:build unix

package parts

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
)

const versitygw = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// S3 is a versitygw that keeps objects as files, with one bucket.
type S3 struct {
	*Process
	Endpoint, AccessKey, Secret, Region string
	Bucket                              string
	Dir                                 string // object KEY of the bucket is the file Dir/Bucket/KEY

	bin, address, log string
}

// NewS3 installs a gateway over dir, without starting it.
func NewS3(ctx context.Context, dir string) (*S3, error) {
	bin, err := install("versitygw", []byte(versitygw), func(bin string) error {
		goTool, err := tool("go")
		if err != nil {
			return err
		}
		_, err = run(ctx, bin, []string{"GOBIN=" + bin, "GOFLAGS=", "GOWORK=off"}, goTool, "install", versitygw)
		return err
	})
	if err != nil {
		return nil, err
	}
	port, err := FreePort(ctx)
	if err != nil {
		return nil, err
	}
	s := &S3{
		Endpoint: "http://" + address(port), AccessKey: uuid.NewString(), Secret: uuid.NewString(),
		Region: "us-east-1", Bucket: "warehouse", Dir: filepath.Join(dir, "objects"),
		bin: filepath.Join(bin, "versitygw"), address: address(port), log: filepath.Join(dir, "versitygw.log"),
	}
	return s, os.MkdirAll(s.Dir, 0o755)
}

// Start starts the gateway, again after Kill or Stop, and makes its bucket if it has
// none.
func (s *S3) Start(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.bin, "--port", s.address, "--region", s.Region, "posix", s.Dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.Secret)
	p, err := Start("versitygw", s.log, cmd)
	if err != nil {
		return err
	}
	s.Process = p
	return s.Await(ctx, s.makeBucket)
}

// makeBucket succeeds on our gateway alone: no other knows the key.
func (s *S3) makeBucket(ctx context.Context) error {
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint), Region: s.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.Secret, ""),
	})
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(s.Bucket)})
	if ours := interface{ ErrorCode() string }(nil); errors.As(err, &ours) && ours.ErrorCode() == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return err
}

// Properties are the S3 properties of an Iceberg catalog, the same for Java, Go and
// Python.
func (s *S3) Properties() map[string]string {
	return map[string]string{
		"s3.endpoint": s.Endpoint, "s3.access-key-id": s.AccessKey, "s3.secret-access-key": s.Secret,
		"s3.path-style-access": "true", "s3.region": s.Region, "client.region": s.Region,
	}
}
