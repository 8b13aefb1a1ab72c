package storage

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Credentials are what an S3 server knows us by. They are never part of a URL,
// which ends up in logs.
type Credentials struct {
	AccessKey, SecretKey, SessionToken string
}

// Open opens the bucket that location names:
//
//	/var/lib/asterism/objects, ./objects or file:///var/lib/asterism/objects
//	    a directory, see [OpenDir]
//	s3://bucket/prefix?endpoint=host:port&region=eu-central-1&insecure=true
//	    an S3 server, see [OpenS3]; also virtual-host=true and root-cas=/path;
//	    without an endpoint it is AWS
//	memory:
//	    an empty bucket that ends with the process, see [NewMemory]
func Open(location string, credentials Credentials) (Bucket, error) {
	if location == "" {
		return nil, errors.New("open storage: its location is empty; expected a directory or s3://bucket")
	}
	if !strings.Contains(location, ":") || strings.HasPrefix(location, "/") || strings.HasPrefix(location, ".") {
		return OpenDir(location)
	}
	u, err := url.Parse(location)
	if err != nil {
		return nil, errors.New("open storage: the location is not a URL; expected a directory, file:///path or s3://bucket")
	}
	if u.User != nil {
		return nil, errors.New("open storage: the location holds a user or a password; give credentials apart from it")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("open storage: %q must have the form file:///path", location)
		}
		return OpenDir(u.Path)
	case "s3":
		config, err := parseS3(u)
		if err != nil {
			return nil, fmt.Errorf("open storage %q: %w", location, err)
		}
		config.AccessKey, config.SecretKey, config.SessionToken = credentials.AccessKey, credentials.SecretKey, credentials.SessionToken
		return OpenS3(config)
	case "memory":
		return NewMemory(), nil
	}
	return nil, fmt.Errorf("open storage: %q has the unknown scheme %q; expected a directory, file:///path or s3://bucket", location, u.Scheme)
}

func parseS3(u *url.URL) (S3Config, error) {
	config := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return config, fmt.Errorf("its parameters: %w", err)
	}
	for name, values := range query {
		value := values[len(values)-1]
		var err error
		switch name {
		case "endpoint":
			config.Endpoint = value
		case "region":
			config.Region = value
		case "root-cas":
			config.RootCAs = value
		case "insecure":
			config.Insecure, err = strconv.ParseBool(value)
		case "virtual-host":
			config.VirtualHost, err = strconv.ParseBool(value)
		default:
			err = errors.New("unknown; expected endpoint, region, insecure, virtual-host or root-cas")
		}
		if err != nil {
			return config, fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	if config.Endpoint == "" {
		config.Endpoint = "s3.amazonaws.com"
		if config.Region != "" {
			config.Endpoint = "s3." + config.Region + ".amazonaws.com"
		}
	}
	return config, nil
}
